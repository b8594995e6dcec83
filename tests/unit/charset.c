/* Specific Character Set to UTF-8. Most vectors are the examples of PS3.5 annexes H (Japanese), I (Korean), J and K
 * (Chinese). */
#include "codecs/dicom/charset.h"

#include "check.h"

#include <stdlib.h>

static size_t replaced; /* of the last conversion */

/* Valid until the next call. */
static const char *convert_n(const char *terms, const char *vr, const void *bytes, size_t size)
{
    static struct buf out;
    struct charset *charset;
    EXPECT_OK(charset_new(&charset, terms));
    buf_release(&out);
    buf_text(&out, "");
    replaced = charset_convert(charset, &out, vr, bytes, size);
    EXPECT_OK(buf_error(&out));
    charset_free(charset);
    return buf_string(&out);
}

static const char *convert(const char *terms, const char *vr, const char *bytes)
{
    return convert_n(terms, vr, bytes, strlen(bytes));
}

#define EXPECT_CONVERTED(terms, vr, bytes, want)                                                                       \
    do {                                                                                                               \
        EXPECT_TEXT(convert(terms, vr, bytes), want);                                                                  \
        EXPECT(replaced == 0);                                                                                         \
    } while (0)

static void charset_single_byte_sets(void)
{
    static const struct {
        const char *number, *bytes, *want;
    } rows[] = {
        {"100", "Buc^J\xe9r\xf4me", "Buc^Jérôme"},
        {"101", "Wa\xb3\xeasa", "Wałęsa"},
        {"109", "\xc6usta", "Ĉusta"},
        {"110", "\xa9gr\xba", "Šgrē"},
        {"144",
         "\xbb\xee\xda"
         "ce\xdc\xd1yp\xd3",
         "Люкceмбypг"},
        {"127", "\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"},
        {"126", "\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"},
        {"138", "\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"},
        {"148",
         "\xc7"
         "a\xf0lar^\xdd"
         "zg\xfcn",
         "Çağlar^İzgün"},
        {"203", "\xa4 \xbe", "€ Ÿ"},
        {"166", "\xca\xc1\xaa\xd2\xc2", "สมชาย"},
        {"13", "\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char terms[32];
        snprintf(terms, sizeof terms, "ISO_IR %s", rows[i].number);
        EXPECT_CONVERTED(terms, "PN", rows[i].bytes, rows[i].want);
        snprintf(terms, sizeof terms, "ISO 2022 IR %s", rows[i].number);
        EXPECT_CONVERTED(terms, "PN", rows[i].bytes, rows[i].want);
    }
}

static void charset_single_byte_sets_by_escape(void)
{
    static const struct {
        const char *bytes, *want;
    } rows[] = {
        {"\033-A\xe9", "é"}, {"\033-B\xb3", "ł"}, {"\033-C\xc6", "Ĉ"}, {"\033-D\xa9", "Š"}, {"\033-L\xbb", "Л"},
        {"\033-G\xe2", "ق"}, {"\033-F\xc4", "Δ"}, {"\033-H\xf9", "ש"}, {"\033-M\xdd", "İ"}, {"\033-T\xca", "ส"},
        {"\033)I\xd4", "ﾔ"}, {"\033(J~", "‾"},    {"\033(B~", "~"},    {"\033-b\xa4", "€"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        EXPECT_CONVERTED("ISO 2022 IR 6\\ISO 2022 IR 100", "LO", rows[i].bytes, rows[i].want);
}

static void charset_japanese_annex_h(void)
{
    EXPECT_CONVERTED("\\ISO 2022 IR 87", "PN",
                     "Yamada^Tarou=\033$B;3ED\033(B^\033$BB@O:\033(B=\033$B$d$^$@\033(B^\033$B$?$m$&\033(B",
                     "Yamada^Tarou=山田^太郎=やまだ^たろう");
    EXPECT_CONVERTED("ISO 2022 IR 13\\ISO 2022 IR 87", "PN",
                     "\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\033$B;3ED\033(J^\033$BB@O:\033(J="
                     "\033$B$d$^$@\033(J^\033$B$?$m$&\033(J",
                     "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう");
    /* JIS X 0212: the first character of the supplementary kanji. */
    EXPECT_CONVERTED("\\ISO 2022 IR 87\\ISO 2022 IR 159", "LO", "\033$(D0!\033(B.", "丂.");
}

static void charset_kanji_that_hold_delimiter_bytes(void)
{
    /* Halves of kanji that look like `=`, `^` and `\` delimit nothing. */
    EXPECT_CONVERTED("\\ISO 2022 IR 87", "PN", "\033$B=UF|\033(B^\033$B=\\^^=^\033(B=x", "春日^旬湎殉=x");
}

static void charset_japanese_vendor_kanji(void)
{
    /* NEC row 13 and NEC selected IBM kanji are not in JIS X 0208, but in names: U+9AD9 and U+2460. */
    EXPECT_CONVERTED("\\ISO 2022 IR 87", "LO", "\033$B|b66\033(B", "髙橋");
    EXPECT_CONVERTED("\\ISO 2022 IR 87", "LO", "\033$B-!\033(B", "①");
    /* Rows that each site fills itself mean nothing here. */
    EXPECT_TEXT(convert("\\ISO 2022 IR 159", "LO", "\033$(Du!\033(B"), "\uFFFD");
    EXPECT(replaced == 1);
}

static void charset_yen_and_overline(void)
{
    EXPECT_CONVERTED("ISO_IR 13", "LO", "a\\b~", "a\\b‾");
    EXPECT_CONVERTED("ISO_IR 13", "LT", "\\100", "¥100");
    EXPECT_CONVERTED("ISO_IR 100", "LT", "\\~", "\\~");
}

static void charset_shift_jis_under_katakana(void)
{
    EXPECT_CONVERTED("ISO_IR 13", "PN", "\x8e\x52\x93\x63^\x91\xbe\x98\x59", "山田^太郎");
    EXPECT_CONVERTED("SHIFT_JIS", "PN", "\x8e\x52\x93\x63^\x91\xbe\x98\x59", "山田^太郎");
    /* 81 with nothing behind it is no Shift JIS either. */
    EXPECT_TEXT(convert("ISO_IR 13", "PN", "\xd4\x81"), "ﾔ\uFFFD");
    EXPECT(replaced == 1);
}

static void charset_korean_annex_i(void)
{
    EXPECT_CONVERTED("\\ISO 2022 IR 149", "PN",
                     "Hong^Gildong=\033$)C\xfb\xf3^\033$)C\xd1\xce\xd4\xd7=\033$)C\xc8\xab^\033$)C\xb1\xe6\xb5\xbf",
                     "Hong^Gildong=洪^吉洞=홍^길동");
    /* Escapes forgotten behind `^`, or altogether: G1 is empty by the standard, the meaning is plain. */
    EXPECT_CONVERTED("\\ISO 2022 IR 149", "PN", "=\033$)C\xfb\xf3^\xd1\xce\xd4\xd7=\xc8\xab^\xb1\xe6\xb5\xbf",
                     "=洪^吉洞=홍^길동");
    EXPECT_CONVERTED("ISO 2022 IR 149", "PN", "\xb1\xe8\xc8\xf1\xc1\xdf", "김희중");
}

static void charset_chinese_annexes_j_k(void)
{
    EXPECT_CONVERTED("ISO_IR 192", "PN", "Wang^XiaoDong=王^小東=", "Wang^XiaoDong=王^小東=");
    EXPECT_CONVERTED("GB18030", "PN", "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东=");
    EXPECT_CONVERTED("GBK", "PN", "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东=");
    EXPECT_CONVERTED("\\ISO 2022 IR 58", "PN",
                     "Zhang^XiaoDong=\033$)A\xd5\xc5^\033$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东=");
    EXPECT_CONVERTED("\\ISO 2022 IR 58", "LT", "1. \033$)A\xb5\xda\xd2\xbb\xd0\xd0\r\n\033$)A\xb5\xda\xb6\xfe.",
                     "1. 第一行\r\n第二.");
    EXPECT_CONVERTED("GB18030", "LO", "\x95\x32\x82\x36", "𠀀"); /* four bytes */
    EXPECT_CONVERTED("GBK", "LO", "\x8f\x5c\\x", "廫\\x");       /* 5C is half a character, then a delimiter */
}

static void charset_delimiters_reset(void)
{
    const char *terms = "ISO 2022 IR 100\\ISO 2022 IR 144";
    EXPECT_CONVERTED(terms, "PN", "\033-L\xbb^\xe9", "Л^é");
    EXPECT_CONVERTED(terms, "PN", "\033-L\xbb=\xe9", "Л=é");
    EXPECT_CONVERTED(terms, "LO", "\033-L\xbb^\xe9", "Л^щ"); /* `^` delimits in PN alone */
    EXPECT_CONVERTED(terms, "LO", "\033-L\xbb\\\xe9", "Л\\é");
    EXPECT_CONVERTED(terms, "LT", "\033-L\xbb\\\xe9", "Л\\щ"); /* no delimiter in a VR of one value */
    EXPECT_CONVERTED(terms, "LT", "\033-L\xbb\r\n\xe9\033-L\xbb\f\xe9\033-L\xbb\t\xe9", "Л\r\néЛ\féЛ\té");
    EXPECT_CONVERTED("\\ISO 2022 IR 87", "LT", "\033$B;3\r\n;3", "山\r\n;3");
}

static void charset_misspelt_terms(void)
{
    static const char *const latin1[] = {"ISO IR 100", "ISO-IR 100", "iso_ir_100 ", "ISOIR100", "iso8859-1",
                                         "ISO_8859-1", "ISO 8859-1", "latin1",      "IR 100",   "ISO2022IR100"};
    for (size_t i = 0; i < sizeof latin1 / sizeof *latin1; i++)
        EXPECT_CONVERTED(latin1[i], "LO", "\xc3\xa9", "Ã©");
    static const char *const utf8[] = {"UTF-8", "utf8", "ISO IR 192", "ISO_IR_192", "ISO 2022 IR 192", "\\ISO_IR 192"};
    for (size_t i = 0; i < sizeof utf8 / sizeof *utf8; i++) {
        EXPECT_TEXT(convert(utf8[i], "LO", "\xc3\xa9\xe9"), "é\uFFFD");
        EXPECT(replaced == 1);
    }
    EXPECT_CONVERTED("ISO 2022 GBK", "LO", "\xcd\xf5", "王");
    EXPECT_CONVERTED("ISO 2022 58", "LO", "\xcd\xf5", "王");
}

static void charset_unnamed_high_bytes(void)
{
    static const char *const terms[] = {NULL, "", "ISO_IR 6", "ISO 2022 IR 6", "NONSENSE", "\\\\"};
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        EXPECT_CONVERTED(terms[i], "LO", "J\xc3\xa9r\xc3\xb4me", "Jérôme");
        EXPECT_CONVERTED(terms[i], "LO", "J\xe9r\xf4me", "Jérôme");
    }
}

static void charset_ungoverned_vrs(void)
{
    EXPECT_CONVERTED("ISO_IR 144", "CS", "\xe9", "é");
    EXPECT_CONVERTED("ISO_IR 144", "UR", "\xd0\x9b", "Л");
    EXPECT_CONVERTED("\\ISO 2022 IR 87", "UI", "1.2\033$B", "1.2\033$B");
    EXPECT_CONVERTED("ISO_IR 144", "UC", "\xbb", "Л");
}

static void charset_broken_bytes_are_counted(void)
{
    EXPECT_TEXT(convert("ISO_IR 192", "LO",
                        "a\xff\xfe"
                        "b"),
                "a\uFFFD\uFFFDb");
    EXPECT(replaced == 2);
    EXPECT_TEXT(convert("ISO_IR 192", "LO", "\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");           /* a surrogate */
    EXPECT_TEXT(convert("ISO_IR 192", "LO", "\xf4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD"); /* beyond U+10FFFF */
    EXPECT_TEXT(convert("\\ISO 2022 IR 87", "LO", "\033$B;3E\033(Bx"), "山\uFFFDx");          /* half a kanji */
    EXPECT(replaced == 1);
    EXPECT_TEXT(convert("\\ISO 2022 IR 87", "LO", "\033$B.!;3\033(Bx"), "\uFFFD山x"); /* a row without kanji */
    EXPECT(replaced == 1);
    EXPECT_TEXT(convert("ISO_IR 100", "LO", "a\033%Gb"), "a\uFFFD%Gb");
    EXPECT(replaced == 1);
    EXPECT_TEXT(convert("ISO_IR 100", "LO", "a\033"), "a\uFFFD");
    EXPECT_TEXT(convert("ISO_IR 126", "LO", "\xff"), "\uFFFD");
    EXPECT_TEXT(convert("\\ISO 2022 IR 149", "LO", "\033$)C\x8c\xc8\xab"), "\uFFFD홍");
    EXPECT(replaced == 1);
    EXPECT_TEXT(convert("GB18030", "LO", "\xcd\xf5\x81"), "王\uFFFD");
}

static void charset_long_text(void)
{
    size_t size = 200000;
    char *bytes = malloc(size);
    memset(bytes, '0', size);
    for (size_t i = 0; i + 4 < size; i += 1000)
        memcpy(bytes + i, "\xbb", 1);
    const char *text = convert_n("ISO_IR 144", "UT", bytes, size);
    EXPECT(strlen(text) == size + size / 1000);
    EXPECT(strncmp(text + 1001, "Л0", 3) == 0);
    /* Kanji beyond the size of the piece that is converted at once. */
    memcpy(bytes, "\033$B", 3);
    for (size_t i = 3; i + 1 < size; i += 2)
        memcpy(bytes + i, ";3", 2);
    text = convert_n("\\ISO 2022 IR 87", "UT", bytes, size - 1);
    EXPECT(replaced == 0);
    EXPECT(strlen(text) == (size - 4) / 2 * 3);
    free(bytes);
}

static void charset_converter_is_reused(void)
{
    struct charset *charset;
    struct buf out;
    buf_init(&out);
    EXPECT_OK(charset_new(&charset, "\\ISO 2022 IR 149\\ISO 2022 IR 87"));
    for (int i = 0; i < 3; i++) {
        buf_clear(&out);
        /* What one value designates or breaks does not reach the next. */
        EXPECT(charset_convert(charset, &out, "LO", (const uint8_t *)"\033$B;", 4) == 1);
        EXPECT(charset_convert(charset, &out, "LO", (const uint8_t *)";3", 2) == 0);
        EXPECT(charset_convert(charset, &out, "LO", (const uint8_t *)"\033$)C\xc8\xab", 6) == 0);
        EXPECT(charset_convert(charset, &out, "LO", (const uint8_t *)"", 0) == 0);
        EXPECT_TEXT(buf_string(&out), "\uFFFD;3홍");
    }
    buf_release(&out);
    charset_free(charset);
    charset_free(NULL);
}

int main(void)
{
    RUN(charset_single_byte_sets);
    RUN(charset_single_byte_sets_by_escape);
    RUN(charset_japanese_annex_h);
    RUN(charset_kanji_that_hold_delimiter_bytes);
    RUN(charset_japanese_vendor_kanji);
    RUN(charset_yen_and_overline);
    RUN(charset_shift_jis_under_katakana);
    RUN(charset_korean_annex_i);
    RUN(charset_chinese_annexes_j_k);
    RUN(charset_delimiters_reset);
    RUN(charset_misspelt_terms);
    RUN(charset_unnamed_high_bytes);
    RUN(charset_ungoverned_vrs);
    RUN(charset_broken_bytes_are_counted);
    RUN(charset_long_text);
    RUN(charset_converter_is_reused);
    return check_done();
}
