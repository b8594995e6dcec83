// Build-time program: prints the data dictionary and the UIDs of DCMTK as a C source of constant tables, so that the
// programs need neither DCMTK nor its dictionary files to name a tag. Layout of the tables: codecs/dicom/dictionary.h.
//
//   generate_dictionary DCUID_HEADER > dictionary_tables.c
//
// DCUID_HEADER is DCMTK's dcuid.h: its table of UID names cannot be walked, so the UIDs are taken from its macros and
// the names asked one by one. Fails when the dictionary was not loaded, rather than print an empty table.
#include "dcmtk/config/osconfig.h"

#include "dcmtk/dcmdata/dcdicent.h"
#include "dcmtk/dcmdata/dcdict.h"
#include "dcmtk/dcmdata/dcuid.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace
{

constexpr size_t entries_min = 4000; // the standard has had more since 2013
constexpr unsigned slots_log2 = 14;  // at most a third full with today's 5,000 entries: one probe a look-up

struct entry {
    uint32_t tag;
    std::string vr, keyword;
    bool retired;
};

struct repeating {
    uint32_t first, last; // element numbers and group of the first and last tag covered
    std::string vr, keyword;
};

// UIDs of PS3.4 B.5 and PS3.6 A that are younger than the DCMTK at hand, or retired before it.
const struct {
    const char *uid, *name;
    bool storage;
} more_uids[] = {
    {"1.2.840.10008.5.1.4.1.1.6.3", "PhotoacousticImageStorage", true},
    {"1.2.840.10008.5.1.4.1.1.9.1.4", "General32bitECGWaveformStorage", true},
    {"1.2.840.10008.5.1.4.1.1.9.100.1", "WaveformPresentationStateStorage", true},
    {"1.2.840.10008.5.1.4.1.1.9.100.2", "WaveformAcquisitionPresentationStateStorage", true},
    {"1.2.840.10008.5.1.4.1.1.11.12", "VariableModalityLUTSoftcopyPresentationStateStorage", true},
    {"1.2.840.10008.5.1.4.1.1.12.77", "RETIRED_ZeroDimensionalPresentationStateStorage", true},
    {"1.2.840.10008.5.1.4.1.1.40", "RETIRED_MRDixonStorage", true},
    {"1.2.840.10008.5.1.4.1.1.66.7", "LabelMapSegmentationStorage", true},
    {"1.2.840.10008.5.1.4.1.1.66.8", "HeightMapSegmentationStorage", true},
    {"1.2.840.10008.5.1.4.1.1.77.1.8", "ConfocalMicroscopyImageStorage", true},
    {"1.2.840.10008.5.1.4.1.1.77.1.9", "ConfocalMicroscopyTiledPyramidalImageStorage", true},
    {"1.2.840.10008.5.1.4.1.1.88.77", "WaveformAnnotationSRStorage", true},
    {"1.2.840.10008.5.1.4.1.1.201.1", "InventoryStorage", true},
    {"1.2.840.10008.5.1.4.1.1.481.23", "EnhancedRTImageStorage", true},
    {"1.2.840.10008.5.1.4.1.1.481.24", "EnhancedContinuousRTImageStorage", true},
    {"1.2.840.10008.5.1.4.1.1.481.25", "RTPatientPositionAcquisitionInstructionStorage", true},
    {"1.2.840.10008.5.1.4.1.1.601.3", "DICONDE_ThermographyImageStorage", true},
    {"1.2.840.10008.5.1.4.1.1.601.4", "DICONDE_ThermographyMultiFrameImageStorage", true},
    {"1.2.840.10008.5.1.4.1.1.601.5", "DICONDE_UltrasoundWaveformStorage", true},
    {"1.2.840.10008.5.1.4.1.1.201.2", "FINDInventory", false},
    {"1.2.840.10008.5.1.4.1.1.201.3", "MOVEInventory", false},
    {"1.2.840.10008.5.1.4.1.1.201.4", "GETInventory", false},
    {"1.2.840.10008.5.1.4.1.1.201.5", "InventoryCreation", false},
    {"1.2.840.10008.5.1.4.1.1.201.6", "RepositoryQuery", false},
    {"1.2.840.10008.5.1.4.38.4", "GETHangingProtocolInformationModel", false},
};

std::string plain(const char *name, bool &retired)
{
    std::string text = name;
    retired = text.rfind("RETIRED_", 0) == 0;
    return retired ? text.substr(8) : text;
}

// DCMTK's internal VRs stand for a choice that only the data set can make; implicit VR needs one answer.
std::string one_vr(const DcmDictEntry &e)
{
    static const std::map<std::string, std::string> choices = {{"xs", "US"}, {"ox", "OW"}, {"px", "OW"},
                                                               {"lt", "OW"}, {"up", "UL"}, {"na", "UN"}};
    std::string vr = e.getVR().getVRName();
    auto choice = choices.find(vr);
    return choice == choices.end() ? vr : choice->second;
}

void collect(DcmDataDictionary &dictionary, std::map<uint32_t, entry> &entries, std::vector<repeating> &ranges)
{
    for (DcmHashDictIterator i = dictionary.normalBegin(); i != dictionary.normalEnd(); ++i) {
        const DcmDictEntry &e = **i;
        if (e.getPrivateCreator() || e.getGroup() % 2 || e.getGroup() == 0xFFFE)
            continue;
        bool retired;
        std::string keyword = plain(e.getTagName(), retired);
        uint32_t tag = static_cast<uint32_t>(e.getGroup()) << 16 | e.getElement();
        entries[tag] = {tag, one_vr(e), keyword, retired};
    }
    for (DcmDictEntryListIterator i = dictionary.repeatingBegin(); i != dictionary.repeatingEnd(); ++i) {
        const DcmDictEntry &e = **i;
        // Rules for whole classes of tags (group lengths, private creators) are code in dictionary.c.
        if (e.getPrivateCreator() || e.getGroup() % 2 || e.getElement() == 0)
            continue;
        bool retired;
        std::string keyword = plain(e.getTagName(), retired);
        ranges.push_back({static_cast<uint32_t>(e.getGroup()) << 16 | e.getElement(),
                          static_cast<uint32_t>(e.getUpperGroup()) << 16 | e.getUpperElement(), one_vr(e), keyword});
    }
    std::sort(ranges.begin(), ranges.end(), [](const repeating &a, const repeating &b) { return a.first < b.first; });
}

void print_tags(const std::map<uint32_t, entry> &entries, const std::vector<repeating> &ranges)
{
    std::vector<const entry *> list;
    for (auto &pair : entries)
        list.push_back(&pair.second);

    printf("const struct dictionary_entry dictionary_entries[] = {\n");
    size_t keyword = 1;
    std::string keywords;
    for (const entry *e : list) {
        printf("    {0x%08X, \"%s\", %zu},\n", e->tag, e->vr.c_str(), keyword);
        keyword += e->keyword.size() + 1;
        keywords += "    \"" + e->keyword + "\\0\"\n";
    }
    printf("};\nconst unsigned dictionary_entry_count = %zu;\n\n", list.size());

    std::vector<unsigned> slots(size_t(1) << slots_log2, 0);
    for (size_t i = 0; i < list.size(); i++) {
        size_t slot = list[i]->tag * UINT32_C(0x9E3779B1) >> (32 - slots_log2);
        while (slots[slot])
            slot = (slot + 1) % slots.size();
        slots[slot] = static_cast<unsigned>(i + 1);
    }
    printf("const uint16_t dictionary_slots[1 << DICTIONARY_SLOTS_LOG2] = {");
    for (size_t i = 0; i < slots.size(); i++)
        printf("%s%u,", i % 20 ? "" : "\n    ", slots[i]);
    printf("\n};\n_Static_assert(DICTIONARY_SLOTS_LOG2 == %u, \"the generator and dictionary.h disagree\");\n\n",
           slots_log2);

    // A name that a retired and a current tag share means the current one, so that one comes first and is found first.
    std::vector<unsigned> order(list.size());
    for (size_t i = 0; i < order.size(); i++)
        order[i] = static_cast<unsigned>(i);
    std::sort(order.begin(), order.end(), [&](unsigned a, unsigned b) {
        return list[a]->keyword != list[b]->keyword   ? list[a]->keyword < list[b]->keyword
               : list[a]->retired != list[b]->retired ? !list[a]->retired
                                                      : a < b;
    });
    std::vector<unsigned> unique;
    for (unsigned i : order) {
        if (unique.empty() || list[unique.back()]->keyword != list[i]->keyword)
            unique.push_back(i);
    }
    printf("const uint16_t dictionary_by_keyword[] = {");
    for (size_t i = 0; i < unique.size(); i++)
        printf("%s%u,", i % 20 ? "" : "\n    ", unique[i]);
    printf("\n};\nconst unsigned dictionary_by_keyword_count = %zu;\n\n", unique.size());

    printf("const struct dictionary_range dictionary_ranges[] = {\n");
    for (const repeating &r : ranges) {
        printf("    {0x%08X, 0x%08X, \"%s\", %zu},\n", r.first, r.last, r.vr.c_str(), keyword);
        keyword += r.keyword.size() + 1;
        keywords += "    \"" + r.keyword + "\\0\"\n";
    }
    printf("};\nconst unsigned dictionary_range_count = %zu;\n\n", ranges.size());
    printf("const char dictionary_keywords[] = \"\\0\"\n%s    ;\n\n", keywords.c_str());
}

bool ends_with(const std::string &text, const char *end)
{
    size_t size = strlen(end);
    return text.size() >= size && text.compare(text.size() - size, size, end) == 0;
}

bool print_uids(const char *header)
{
    std::ifstream in(header);
    std::map<std::string, std::string> names;
    std::set<std::string> storage;
    std::string line;
    while (std::getline(in, line)) {
        char macro[200], uid[100];
        if (sscanf(line.c_str(), "#define %199s \"%99[0-9.]\"", macro, uid) != 2 || strncmp(macro, "UID_", 4))
            continue;
        const char *name = dcmFindNameOfUID(uid, macro + 4);
        names[uid] = name;
        // DCMTK's own predicate leaves out most retired classes; their macros all end in Storage. The directory of a
        // medium (1.3.10) is a file, never sent as an instance.
        if (strcmp(uid, "1.2.840.10008.1.3.10") &&
            (dcmIsaStorageSOPClassUID(uid, ESSC_All) || ends_with(macro, "Storage")))
            storage.insert(uid);
    }
    if (names.size() < 300) {
        fprintf(stderr, "%s: only %zu UIDs found\n", header, names.size());
        return false;
    }
    for (auto &more : more_uids) {
        names.emplace(more.uid, more.name);
        if (more.storage)
            storage.insert(more.uid);
    }
    printf("const struct dictionary_uid dictionary_uids[] = {\n");
    for (auto &pair : names)
        printf("    {\"%s\", \"%s\", %s},\n", pair.first.c_str(), pair.second.c_str(),
               storage.count(pair.first) ? "true" : "false");
    printf("};\nconst unsigned dictionary_uid_count = %zu;\n\n", names.size());
    printf("const char *const dictionary_storage[] = {\n");
    for (auto &uid : storage)
        printf("    \"%s\",\n", uid.c_str());
    printf("};\nconst unsigned dictionary_storage_count = %zu;\n", storage.size());
    return true;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s DCUID_HEADER\n", argv[0]);
        return 2;
    }
    DcmDataDictionary &dictionary = dcmDataDict.wrlock();
    std::map<uint32_t, entry> entries;
    std::vector<repeating> ranges;
    collect(dictionary, entries, ranges);
    if (entries.size() < entries_min || entries.size() > (size_t(1) << slots_log2) / 2 || ranges.empty()) {
        fprintf(stderr,
                "DCMTK's data dictionary has %zu standard tags, expected at least %zu: is its dicom.dic installed, "
                "or DCMDICTPATH set to another place?\n",
                entries.size(), entries_min);
        return 1;
    }
    printf("/* Made by codecs/dicom/generate/dictionary_dcmtk.cc from DCMTK's tables. */\n"
           "#include \"codecs/dicom/dictionary.h\"\n\n");
    print_tags(entries, ranges);
    dcmDataDict.wrunlock();
    return print_uids(argv[1]) && !ferror(stdout) && fflush(stdout) == 0 ? 0 : 1;
}
