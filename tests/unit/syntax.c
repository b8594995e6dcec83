/* The table of transfer syntaxes and the dictionary. */
#include "check.h"
#include "codecs/dicom/dataset.h"

#include <stdlib.h>

static void syntax_codes_are_dense_and_uids_unique(void)
{
    size_t count;
    const struct syntax *rows = syntax_table(&count);
    EXPECT(count > 60);
    for (size_t i = 0; i < count; i++) {
        EXPECT(rows[i].code == i);
        EXPECT(syntax_by_code((uint8_t)i) == &rows[i]);
        EXPECT(i == 0 || syntax_by_uid(rows[i].uid) == &rows[i]);
    }
    EXPECT(syntax_by_code(255) == &rows[0]);
}

/* Codes stand in packs: what a code means today it means for good. */
static void syntax_codes_never_move(void)
{
    static const struct {
        uint8_t code;
        const char *uid;
    } known[] = {
        {1, "1.2.840.10008.1.2"},        {2, "1.2.840.10008.1.2.1"},        {3, "1.2.840.10008.1.2.2"},
        {4, "1.2.840.10008.1.2.1.99"},   {7, "1.2.840.10008.1.2.5"},        {8, "1.2.840.10008.1.2.4.50"},
        {25, "1.2.840.10008.1.2.4.70"},  {26, "1.2.840.10008.1.2.4.80"},    {29, "1.2.840.10008.1.2.4.91"},
        {33, "1.2.840.10008.1.2.4.95"},  {47, "1.2.840.10008.1.2.4.106.1"}, {53, "1.2.840.10008.1.2.4.201"},
        {57, "1.2.840.10008.1.2.4.205"}, {63, "1.2.840.113619.5.2"},        {64, "1.2.840.10008.1.20"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        EXPECT_TEXT(syntax_by_code(known[i].code)->uid, known[i].uid);
}

static void syntax_exactly_three_deflate_the_data_set(void)
{
    size_t count, deflated = 0;
    const struct syntax *rows = syntax_table(&count);
    for (size_t i = 0; i < count; i++)
        deflated += rows[i].deflated;
    EXPECT(deflated == 3);
    EXPECT(syntax_by_uid("1.2.840.10008.1.2.1.99")->deflated);
    EXPECT(syntax_by_uid("1.2.840.10008.1.2.4.95")->deflated);
    EXPECT(syntax_by_uid("1.2.840.10008.1.2.4.205")->deflated);
    EXPECT(!syntax_by_uid("1.2.840.10008.1.2.8.1")->deflated);
}

static void syntax_preference_is_native_then_lossless_then_lossy(void)
{
    static const char *const order[] = {"1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99",
                                        "1.2.840.10008.1.2.2"};
    for (size_t i = 1; i < sizeof order / sizeof order[0]; i++)
        EXPECT(syntax_by_uid(order[i - 1])->preference < syntax_by_uid(order[i])->preference);
    size_t count;
    const struct syntax *rows = syntax_table(&count);
    uint8_t big_endian = syntax_by_uid("1.2.840.10008.1.2.2")->preference;
    for (size_t i = 1; i < count; i++) {
        for (size_t j = 1; j < count; j++) {
            EXPECT(i == j || rows[i].preference != rows[j].preference);
            if (rows[i].encapsulated && !rows[i].lossy && rows[j].encapsulated && rows[j].lossy)
                EXPECT(rows[i].preference < rows[j].preference);
        }
        if (rows[i].encapsulated)
            EXPECT(big_endian < rows[i].preference);
    }
}

static void syntax_uid_padding_is_ignored(void)
{
    EXPECT(syntax_by_uid("1.2.840.10008.1.2.1 ")->code == 2);
    EXPECT(syntax_by_uid("1.2.840.10008.1.2.1.")->code == 0);
    EXPECT(syntax_by_uid("")->code == 0);
    EXPECT(syntax_by_uid("1.2.3")->code == 0);
    EXPECT(syntax_by_uid("1.2.840.113619.5.2")->implicit && !syntax_by_uid("1.2.840.113619.5.2")->big_endian);
}

static void dictionary_vr_of_every_class_of_tag(void)
{
    EXPECT_TEXT(dictionary_vr(0x00100010), "PN");
    EXPECT_TEXT(dictionary_vr(0x00080005), "CS");
    EXPECT_TEXT(dictionary_vr(0x7FE00010), "OW");
    EXPECT_TEXT(dictionary_vr(0x00280106), "US");
    EXPECT_TEXT(dictionary_vr(0x00283006), "OW");
    EXPECT_TEXT(dictionary_vr(0x60003000), "OW");
    EXPECT_TEXT(dictionary_vr(0x601E0010), "US");
    EXPECT_TEXT(dictionary_vr(0x60010010), "LO"); /* odd group: a private creator, no overlay */
    EXPECT_TEXT(dictionary_vr(0x60011010), "UN");
    EXPECT_TEXT(dictionary_vr(0x50043000), "OW");
    EXPECT_TEXT(dictionary_vr(0x00203142), "CS");
    EXPECT_TEXT(dictionary_vr(0x00090010), "LO");
    EXPECT_TEXT(dictionary_vr(0x000900FF), "LO");
    EXPECT_TEXT(dictionary_vr(0x00090100), "UN");
    EXPECT_TEXT(dictionary_vr(0x00091001), "UN");
    EXPECT_TEXT(dictionary_vr(0x00080000), "UL");
    EXPECT_TEXT(dictionary_vr(0x00090000), "UL");
    EXPECT_TEXT(dictionary_vr(0x00085A5A), "UN");
    EXPECT_TEXT(dictionary_vr(0xFFFCFFFC), "OB");
    EXPECT_TEXT(dictionary_vr(0x00081140), "SQ");
}

static void dictionary_keywords_go_both_ways(void)
{
    static const struct {
        uint32_t tag;
        const char *keyword;
    } known[] = {
        {0x00100020, "PatientID"},   {0x0020000D, "StudyInstanceUID"},           {0x00080018, "SOPInstanceUID"},
        {0x7FE00010, "PixelData"},   {0x00020010, "TransferSyntaxUID"},          {0x00280008, "NumberOfFrames"},
        {0x60000010, "OverlayRows"}, {0x04000561, "OriginalAttributesSequence"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        EXPECT_TEXT(dictionary_keyword(known[i].tag), known[i].keyword);
        EXPECT(dictionary_tag(known[i].keyword) == known[i].tag);
    }
    EXPECT_TEXT(dictionary_keyword(0x60020010), "OverlayRows");
    EXPECT_TEXT(dictionary_keyword(0x00091001), "");
    EXPECT(dictionary_tag("0010,0020") == 0x00100020);
    EXPECT(dictionary_tag("7fe00010") == 0x7FE00010);
    EXPECT(dictionary_tag("PatientName ") == 0);
    EXPECT(dictionary_tag("0010,002") == 0);
    EXPECT(dictionary_tag("0010,00200") == 0);
    EXPECT(dictionary_tag("00,100020") == 0);
    EXPECT(dictionary_tag("") == 0);
}

static void uid_storage_classes_current_retired_and_recent(void)
{
    static const char *const storage[] = {
        "1.2.840.10008.5.1.4.1.1.2",      /* CT */
        "1.2.840.10008.5.1.4.1.1.7",      /* secondary capture */
        "1.2.840.10008.5.1.4.1.1.5",      /* nuclear medicine, retired */
        "1.2.840.10008.5.1.4.1.1.12.3",   /* biplane, retired */
        "1.2.840.10008.5.1.4.1.1.66.7",   /* label map, 2024 */
        "1.2.840.10008.5.1.4.1.1.481.23", /* enhanced RT image */
        "1.2.840.10008.5.1.4.38.1",       /* hanging protocol: no patient */
        "1.2.840.10008.5.1.4.1.1.104.1",  /* encapsulated PDF */
    };
    for (size_t i = 0; i < sizeof storage / sizeof storage[0]; i++)
        EXPECT(uid_is_storage(storage[i]));
    EXPECT(!uid_is_storage("1.2.840.10008.1.1"));
    EXPECT(!uid_is_storage("1.2.840.10008.1.3.10"));
    EXPECT(!uid_is_storage("1.2.840.10008.1.20.1"));
    EXPECT(!uid_is_storage("1.2.840.10008.5.1.4.1.2.2.1"));
    EXPECT(!uid_is_storage(""));
    size_t count;
    const char *const *all = uid_storage_classes(&count);
    EXPECT(count > 150);
    for (size_t i = 0; i < count; i++) {
        EXPECT(uid_is_storage(all[i]));
        EXPECT(i == 0 || strcmp(all[i - 1], all[i]) < 0);
    }
    EXPECT_TEXT(uid_name("1.2.840.10008.5.1.4.1.1.2"), "CTImageStorage");
    EXPECT_TEXT(uid_name("1.2.840.10008.1.2.4.201"), "HTJ2K Lossless");
    EXPECT_TEXT(uid_name("1.2.3"), "");
}

int main(void)
{
    RUN(syntax_codes_are_dense_and_uids_unique);
    RUN(syntax_codes_never_move);
    RUN(syntax_exactly_three_deflate_the_data_set);
    RUN(syntax_preference_is_native_then_lossless_then_lossy);
    RUN(syntax_uid_padding_is_ignored);
    RUN(dictionary_vr_of_every_class_of_tag);
    RUN(dictionary_keywords_go_both_ways);
    RUN(uid_storage_classes_current_retired_and_recent);
    return check_done();
}
