/* The tree over rows in memory: histories that views must show right, listings that go on behind any entry, texts of
 * the past, and what the kernel is told. */
#include "memory.h"

#include "fs/node.h"
#include "fs/notify.h"
#include "fs/tree.h"

#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* One archive a case: a patient, a study, a series of five images, long ago. */
struct fixture {
    struct pacs *pacs;
    struct tree *tree;
    uint64_t patient, study, series, first;
};

#define LONG_AGO UINT64_C(1700000000)

static uint64_t add_image(struct fixture *f, uint64_t series, unsigned number, uint64_t time_s)
{
    char name[16], uid[32];
    snprintf(name, sizeof name, "%04u", number);
    snprintf(uid, sizeof uid, "1.2.3.%u", number);
    return memory_instance(f->pacs, &(struct memory_instance){.series = series,
                                                              .time_s = time_s,
                                                              .name = name,
                                                              .uid = uid,
                                                              .flags = INSTANCE_SHOWN | INSTANCE_NUMBERED,
                                                              .number = number,
                                                              .size = 1000 + number});
}

static void begin(struct fixture *f, const struct tree_options *options)
{
    static const struct tree_options all = {.show = SHOW_ALL};
    f->pacs = memory_new(3600 * 1000);
    f->patient =
        memory_object(f->pacs, OBJECT_PATIENT, PACS_ROOT, "Doe_John_4711", LONG_AGO, TAG_PATIENT_ID, "4711", 0);
    f->study = memory_object(f->pacs, OBJECT_STUDY, f->patient, "2024-03-05_CT", LONG_AGO, TAG_STUDY_UID, "1.2",
                             TAG_ACCESSION, "A1", 0);
    f->series = memory_object(f->pacs, OBJECT_SERIES, f->study, "003_CT", LONG_AGO, TAG_SERIES_UID, "1.2.3",
                              TAG_SERIES_NUMBER, "3", 0);
    f->first = add_image(f, f->series, 1, LONG_AGO);
    for (unsigned i = 2; i <= 5; i++)
        add_image(f, f->series, i, LONG_AGO + i);
    EXPECT_OK(tree_new(&f->tree, f->pacs, options ? options : &all));
}

static void end(struct fixture *f)
{
    tree_free(f->tree);
    memory_free(f->pacs);
}

/* Attributes of a path; code of the failure, if it is not there. */
static enum error_code walk(struct fixture *f, const char *path, struct attr *attr)
{
    char copy[512], *rest = copy;
    snprintf(copy, sizeof copy, "%s", path);
    attr->inode = 1;
    for (char *name; (name = strsep(&rest, "/"));) {
        struct error err = tree_lookup(f->tree, attr->inode, name, attr);
        enum error_code code = err.code;
        error_release(&err);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static bool there(struct fixture *f, const char *path)
{
    struct attr attr;
    return walk(f, path, &attr) == ERROR_NONE;
}

struct names {
    char text[4096];
    uint64_t last;
    unsigned room;
    uint64_t inodes;
};

static bool take(void *context, const char *name, uint64_t cookie, const struct attr *attr)
{
    struct names *names = context;
    if (names->room == 0)
        return false;
    names->room--;
    EXPECT(cookie > names->last);
    names->last = cookie;
    names->inodes += attr->inode;
    if (name[0] != '.') {
        size_t n = strlen(names->text);
        snprintf(names->text + n, sizeof names->text - n, "%s%s", n ? " " : "", name);
    }
    return true;
}

/* The names in a folder, asked for `step` at a time. */
static const char *names_in(struct fixture *f, const char *path, unsigned step, struct names *names)
{
    struct attr attr = {.inode = 1};
    *names = (struct names){0};
    if (*path)
        EXPECT(walk(f, path, &attr) == ERROR_NONE);
    do {
        names->room = step;
        EXPECT_OK(tree_list(f->tree, attr.inode, names->last, take, names));
    } while (names->room == 0);
    return names->text;
}

static size_t text_of(struct fixture *f, uint64_t inode, char *to, size_t room)
{
    struct piece piece;
    EXPECT_OK(tree_read(f->tree, inode, 0, room - 1, &piece));
    size_t size = piece.size;
    if (size)
        memcpy(to, piece.data, size);
    to[size] = '\0';
    piece_release(&piece);
    return size;
}

/* ---- cases ------------------------------------------------------------------------------------------------------ */

static void views_list_what_they_look_up(void)
{
    struct fixture f;
    struct names names;
    begin(&f, NULL);
    EXPECT_TEXT(names_in(&f, "", 1000, &names), "README.txt patients dicom png json uids ids ready new");
    EXPECT_TEXT(names_in(&f, "patients/Doe_John_4711/2024-03-05_CT", 1000, &names), "study.json 003_CT");
    EXPECT_TEXT(names_in(&f, "dicom/Doe_John_4711/2024-03-05_CT/003_CT", 1000, &names),
                "0001.dcm 0002.dcm 0003.dcm 0004.dcm 0005.dcm");
    EXPECT_TEXT(names_in(&f, "uids/1.2/1.2.3", 1000, &names),
                "1.2.3.1.dcm 1.2.3.2.dcm 1.2.3.3.dcm 1.2.3.4.dcm 1.2.3.5.dcm");
    EXPECT(!there(&f, "dicom/Doe_John_4711/2024-03-05_CT/003_CT/0001.json"));
    EXPECT(!there(&f, "dicom/Doe_John_4711/2024-03-05_CT/study.json"));
    EXPECT(!there(&f, "patients/doe_john_4711"));
    EXPECT(!there(&f, "patients/Doe_John_4711/2024-03-05_CT/003_CT/0001"));
    end(&f);
}

static void views_file_is_one_inode_everywhere(void)
{
    struct fixture f;
    struct attr a, b, c, d;
    begin(&f, NULL);
    EXPECT(walk(&f, "patients/Doe_John_4711/2024-03-05_CT/003_CT/0002.dcm", &a) == ERROR_NONE);
    EXPECT(walk(&f, "dicom/Doe_John_4711/2024-03-05_CT/003_CT/0002.dcm", &b) == ERROR_NONE);
    EXPECT(walk(&f, "ready/Doe_John_4711/2024-03-05_CT/003_CT/0002.dcm", &c) == ERROR_NONE);
    EXPECT(walk(&f, "uids/1.2/1.2.3/1.2.3.2.dcm", &d) == ERROR_NONE);
    EXPECT(a.inode == b.inode && b.inode == c.inode && c.inode == d.inode);
    EXPECT(a.links == 4 && d.links == 4 && a.size == 1002);
    end(&f);
}

static void views_listing_goes_on_behind_any_entry(void)
{
    static const char *const folders[] = {"",     "patients",       "patients/Doe_John_4711/2024-03-05_CT/003_CT",
                                          "uids", "uids/1.2",       "uids/1.2/1.2.3",
                                          "ids",  "ids/patient",    "ids/study",
                                          "new",  "new/2023-11-14", "new/2023-11-14/22",
                                          "ready"};
    struct fixture f;
    begin(&f, NULL);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        struct names whole, pieces;
        names_in(&f, folders[i], 100000, &whole);
        EXPECT(whole.text[0]);
        for (unsigned step = 1; step <= 3; step++)
            EXPECT_TEXT(names_in(&f, folders[i], step, &pieces), whole.text);
    }
    end(&f);
}

static void views_dots_lead_to_the_parent(void)
{
    struct fixture f;
    struct attr child, parent, self, above;
    begin(&f, NULL);
    static const char *const pairs[][2] = {
        {"patients/Doe_John_4711", "patients/Doe_John_4711/2024-03-05_CT"},
        {"uids/1.2", "uids/1.2/1.2.3"},
        {"ids", "ids/patient"},
        {"new/2023-11-14", "new/2023-11-14/22"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        EXPECT(walk(&f, pairs[i][0], &parent) == ERROR_NONE);
        EXPECT(walk(&f, pairs[i][1], &child) == ERROR_NONE);
        EXPECT_OK(tree_lookup(f.tree, child.inode, "..", &above));
        EXPECT_OK(tree_lookup(f.tree, child.inode, ".", &self));
        EXPECT(above.inode == parent.inode && self.inode == child.inode);
    }
    EXPECT_OK(tree_lookup(f.tree, 1, "..", &above));
    EXPECT(above.inode == 1);
    end(&f);
}

static void views_alone_is_the_root(void)
{
    struct fixture f;
    struct names names;
    struct attr attr;
    begin(&f, &(struct tree_options){.show = SHOW_ALL, .view = "dicom"});
    EXPECT_TEXT(names_in(&f, "", 1000, &names), "Doe_John_4711");
    EXPECT_OK(tree_attr(f.tree, 1, &attr));
    EXPECT(attr.inode == 1);
    EXPECT(walk(&f, "Doe_John_4711/2024-03-05_CT/003_CT/0001.dcm", &attr) == ERROR_NONE && attr.links == 1);
    EXPECT(walk(&f, "Doe_John_4711/..", &attr) == ERROR_NONE && attr.inode == 1);
    end(&f);
}

static void views_show_thins_where_kinds_stand_together(void)
{
    struct fixture f;
    struct names names;
    begin(&f, &(struct tree_options){.show = SHOW_JSON});
    EXPECT_TEXT(names_in(&f, "patients/Doe_John_4711/2024-03-05_CT/003_CT", 1000, &names),
                "series.json 0001.json 0002.json 0003.json 0004.json 0005.json");
    EXPECT(there(&f, "dicom/Doe_John_4711/2024-03-05_CT/003_CT/0001.dcm"));
    end(&f);
}

static void uids_study_under_two_patients_is_one_folder(void)
{
    struct fixture f;
    struct names names;
    struct attr a, b;
    begin(&f, NULL);
    uint64_t patient = memory_object(f.pacs, OBJECT_PATIENT, PACS_ROOT, "Roe", LONG_AGO, TAG_PATIENT_ID, "4711", 0);
    uint64_t study = memory_object(f.pacs, OBJECT_STUDY, patient, "2024", LONG_AGO, TAG_STUDY_UID, "1.2", 0);
    uint64_t same = memory_object(f.pacs, OBJECT_SERIES, study, "003_CT", LONG_AGO, TAG_SERIES_UID, "1.2.3", 0);
    uint64_t other = memory_object(f.pacs, OBJECT_SERIES, study, "004_CT", LONG_AGO, TAG_SERIES_UID, "1.2.4", 0);
    add_image(&f, same, 6, LONG_AGO + 10);
    add_image(&f, other, 7, LONG_AGO + 10);
    memory_instance(f.pacs, &(struct memory_instance){.series = same,
                                                      .time_s = LONG_AGO + 11,
                                                      .name = "0001",
                                                      .uid = "1.2.3.1",
                                                      .flags = INSTANCE_SHOWN | INSTANCE_ELSEWHERE,
                                                      .version = 2,
                                                      .size = 77});
    for (unsigned step = 1; step < 5; step++) {
        EXPECT_TEXT(names_in(&f, "uids", step, &names), "1.2");
        EXPECT_TEXT(names_in(&f, "uids/1.2", step, &names), "1.2.3 1.2.4");
        EXPECT_TEXT(names_in(&f, "uids/1.2/1.2.3", step, &names),
                    "1.2.3.1.dcm 1.2.3.2.dcm 1.2.3.3.dcm 1.2.3.4.dcm 1.2.3.5.dcm 1.2.3.6.dcm 1.2.3.1@2.dcm");
    }
    EXPECT(walk(&f, "uids/1.2/1.2.3/1.2.3.1@2.dcm", &a) == ERROR_NONE && a.size == 77);
    EXPECT(walk(&f, "patients/Roe/2024/003_CT/0001.dcm", &b) == ERROR_NONE && a.inode == b.inode);
    EXPECT(!there(&f, "uids/1.2/1.2.4/1.2.3.1.dcm"));
    end(&f);
}

static void uids_earlier_version_keeps_its_bytes(void)
{
    struct fixture f;
    struct attr before, after, old;
    char text[64], again[64];
    begin(&f, NULL);
    EXPECT(walk(&f, "patients/Doe_John_4711/2024-03-05_CT/003_CT/0001.dcm", &before) == ERROR_NONE);
    text_of(&f, before.inode, text, sizeof text);
    memory_instance(f.pacs, &(struct memory_instance){.series = f.series,
                                                      .time_s = LONG_AGO + 60,
                                                      .name = "0001",
                                                      .uid = "1.2.3.1",
                                                      .flags = INSTANCE_SHOWN,
                                                      .version = 2,
                                                      .supersedes = f.first,
                                                      .size = 4000});
    EXPECT(walk(&f, "patients/Doe_John_4711/2024-03-05_CT/003_CT/0001.dcm", &after) == ERROR_NONE);
    EXPECT(after.inode != before.inode && after.size == 4000 && after.time_ns > before.time_ns);
    EXPECT(walk(&f, "uids/1.2/1.2.3/1.2.3.1@1.dcm", &old) == ERROR_NONE && old.inode == before.inode);
    EXPECT(old.links == 1 && old.size == before.size);
    text_of(&f, before.inode, again, sizeof again);
    EXPECT_TEXT(again, text);
    end(&f);
}

static void ids_shared_value_is_a_folder_of_links(void)
{
    struct fixture f;
    struct names names;
    struct attr attr;
    struct buf target;
    begin(&f, NULL);
    EXPECT(walk(&f, "ids/patient/4711", &attr) == ERROR_NONE && attr.type == ATTR_LINK);
    buf_init(&target);
    EXPECT_OK(tree_link(f.tree, attr.inode, &target));
    EXPECT_TEXT(buf_string(&target), "../../patients/Doe_John_4711");
    EXPECT(attr.size == target.size);
    memory_object(f.pacs, OBJECT_PATIENT, PACS_ROOT, "Roe_4711", LONG_AGO, TAG_PATIENT_ID, "4711", 0);
    memory_object(f.pacs, OBJECT_PATIENT, PACS_ROOT, "Nobody", LONG_AGO, TAG_PATIENT_ID, "UNKNOWN", 0);
    memory_object(f.pacs, OBJECT_PATIENT, PACS_ROOT, "None", LONG_AGO, 0);
    EXPECT_TEXT(names_in(&f, "ids/patient", 1, &names), "4711");
    EXPECT_TEXT(names_in(&f, "ids/patient/4711", 1, &names), "2_Doe_John_4711 10_Roe_4711");
    EXPECT(walk(&f, "ids/patient/4711/10_Roe_4711", &attr) == ERROR_NONE && attr.type == ATTR_LINK);
    buf_clear(&target);
    EXPECT_OK(tree_link(f.tree, attr.inode, &target));
    EXPECT_TEXT(buf_string(&target), "../../../patients/Roe_4711");
    EXPECT(!there(&f, "ids/patient/UNKNOWN"));
    EXPECT(there(&f, "ids/accession/A1") && there(&f, "ids/study/1.2") && there(&f, "ids/series/1.2.3"));
    buf_release(&target);
    end(&f);
}

static void new_links_follow_the_order_of_arrival(void)
{
    struct fixture f;
    struct names names;
    struct attr attr;
    struct buf target;
    begin(&f, NULL);
    buf_init(&target);
    EXPECT_TEXT(names_in(&f, "new", 1, &names), "2023-11-14");
    EXPECT_TEXT(names_in(&f, "new/2023-11-14/22", 2, &names),
                "221320_000000000005_0001.dcm 221322_000000000006_0002.dcm 221323_000000000007_0003.dcm "
                "221324_000000000008_0004.dcm 221325_000000000009_0005.dcm");
    EXPECT(walk(&f, "new/2023-11-14/22/221322_000000000006_0002.dcm", &attr) == ERROR_NONE);
    EXPECT_OK(tree_link(f.tree, attr.inode, &target));
    EXPECT_TEXT(buf_string(&target), "../../../patients/Doe_John_4711/2024-03-05_CT/003_CT/0002.dcm");
    EXPECT(attr.size == target.size && attr.type == ATTR_LINK);
    EXPECT(!there(&f, "new/2023-11-14/22/221322_000000000006_0003.dcm"));
    buf_release(&target);
    end(&f);
}

static void ready_hides_what_has_not_settled(void)
{
    struct fixture f;
    struct names names;
    begin(&f, NULL);
    uint64_t now = (uint64_t)time(NULL);
    uint64_t young = memory_object(f.pacs, OBJECT_SERIES, f.study, "004_CT", now, TAG_SERIES_UID, "1.2.4", 0);
    add_image(&f, young, 9, now);
    uint64_t patient = memory_object(f.pacs, OBJECT_PATIENT, PACS_ROOT, "Young", now, 0);
    uint64_t study = memory_object(f.pacs, OBJECT_STUDY, patient, "Young", now, TAG_STUDY_UID, "1.9", 0);
    add_image(&f, memory_object(f.pacs, OBJECT_SERIES, study, "Young", now, TAG_SERIES_UID, "1.9.1", 0), 1, now);
    EXPECT_TEXT(names_in(&f, "ready", 1, &names), "Doe_John_4711");
    EXPECT_TEXT(names_in(&f, "ready/Doe_John_4711/2024-03-05_CT", 1, &names), "study.json 003_CT");
    EXPECT_TEXT(names_in(&f, "patients/Doe_John_4711/2024-03-05_CT", 1, &names), "study.json 003_CT 004_CT");
    EXPECT(!there(&f, "ready/Young"));
    struct attr attr;
    EXPECT(walk(&f, "ready/Doe_John_4711/2024-03-05_CT", &attr) == ERROR_NONE);
    EXPECT(attr.time_ns == (LONG_AGO + 5 + 3600) * 1000000000); /* when the newest settled */
    end(&f);
}

static void summary_of_the_past_keeps_its_bytes(void)
{
    static const char *const paths[] = {"patients/Doe_John_4711/2024-03-05_CT/003_CT/series.json",
                                        "patients/Doe_John_4711/2024-03-05_CT/study.json",
                                        "patients/Doe_John_4711/patient.json"};
    static char before[65536], after[65536];
    for (size_t i = 0; i < 3; i++) {
        struct fixture f;
        struct attr attr, now, old;
        begin(&f, NULL);
        EXPECT(walk(&f, paths[i], &attr) == ERROR_NONE);
        EXPECT(text_of(&f, attr.inode, before, sizeof before) == attr.size);
        uint64_t series =
            memory_object(f.pacs, OBJECT_SERIES, f.study, "005", LONG_AGO + 50, TAG_SERIES_UID, "1.2.5", 0);
        uint64_t study = memory_object(f.pacs, OBJECT_STUDY, f.patient, "s", LONG_AGO + 50, TAG_STUDY_UID, "1.8", 0);
        add_image(&f, series, 8, LONG_AGO + 50);
        add_image(&f, memory_object(f.pacs, OBJECT_SERIES, study, "x", LONG_AGO + 50, TAG_SERIES_UID, "1.8.1", 0), 9,
                  LONG_AGO + 51);
        add_image(&f, f.series, 6, LONG_AGO + 60);
        memory_instance(f.pacs, &(struct memory_instance){.series = f.series,
                                                          .time_s = LONG_AGO + 61,
                                                          .name = "0001",
                                                          .uid = "1.2.3.1",
                                                          .flags = INSTANCE_SHOWN,
                                                          .version = 2,
                                                          .supersedes = f.first,
                                                          .size = 4000});
        EXPECT(walk(&f, paths[i], &now) == ERROR_NONE && now.inode != attr.inode);
        EXPECT(text_of(&f, now.inode, after, sizeof after) == now.size);
        EXPECT(strcmp(before, after) != 0);
        /* A mount that has nothing cached makes the old text again. */
        struct tree *fresh;
        EXPECT_OK(tree_new(&fresh, f.pacs, &(struct tree_options){.show = SHOW_ALL}));
        tree_free(f.tree);
        f.tree = fresh;
        memory_forget(f.pacs);
        EXPECT_OK(tree_attr(f.tree, attr.inode, &old));
        EXPECT(old.size == attr.size && old.time_ns == attr.time_ns && old.links == 0);
        text_of(&f, attr.inode, after, sizeof after);
        EXPECT_TEXT(after, before);
        end(&f);
    }
}

static void tree_forged_inodes_are_not_found(void)
{
    struct fixture f;
    struct attr attr;
    struct piece piece;
    struct names names = {.room = 1000};
    struct buf target;
    begin(&f, NULL);
    buf_init(&target);
    for (unsigned role = 0; role < 32; role++)
        for (uint64_t id = 0; id < 12; id++)
            for (unsigned part = 0; part < 40; part++) {
                uint64_t inode = (uint64_t)role << 58 | id << 20 | part;
                struct error errors[] = {tree_attr(f.tree, inode, &attr), tree_lookup(f.tree, inode, "x", &attr),
                                         tree_lookup(f.tree, inode, "..", &attr),
                                         tree_list(f.tree, inode, UINT64_MAX >> 1, take, &names),
                                         tree_link(f.tree, inode, &target)};
                for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
                    error_release(&errors[i]);
                if (role != NODE_FRAME && (role != NODE_FILE || part == 1 || part > 3)) { /* there are no pixels */
                    struct error err = tree_read(f.tree, inode, 0, 100, &piece);
                    error_release(&err);
                    piece_release(&piece);
                }
            }
    buf_release(&target);
    EXPECT_ERROR(tree_attr(f.tree, UINT64_MAX, &attr), ERROR_NOT_FOUND);
    EXPECT_ERROR(tree_attr(f.tree, UINT64_C(1) << 58 | UINT64_C(999) << 20 | 1, &attr), ERROR_NOT_FOUND);
    end(&f);
}

/* ---- notices ---------------------------------------------------------------------------------------------------- */

struct told {
    pthread_mutex_t lock;
    uint64_t watched;
    unsigned listings, names, all;
    char name[64];
};

static void told_name(void *context, uint64_t folder, const char *name)
{
    struct told *told = context;
    pthread_mutex_lock(&told->lock);
    if (folder == told->watched) {
        told->names++;
        snprintf(told->name, sizeof told->name, "%s", name);
    }
    told->all++;
    pthread_mutex_unlock(&told->lock);
}

static void told_listing(void *context, uint64_t folder)
{
    struct told *told = context;
    pthread_mutex_lock(&told->lock);
    if (folder == told->watched) {
        EXPECT(told->names > 0); /* a name first: it waits for listings that are under way */
        told->listings++;
    }
    pthread_mutex_unlock(&told->lock);
}

static void told_attributes(void *context, uint64_t inode)
{
    (void)context, (void)inode;
}

static unsigned listings_after_a_while(struct told *told)
{
    for (unsigned i = 0; i < 5000; i++) {
        pthread_mutex_lock(&told->lock);
        unsigned listings = told->listings;
        pthread_mutex_unlock(&told->lock);
        if (listings)
            return listings;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return 0;
}

static void notify_thousand_arrivals_are_one_notice(void)
{
    struct fixture f;
    struct attr attr;
    struct notifier *notifier;
    struct pacs_txn *txn;
    begin(&f, NULL);
    EXPECT(walk(&f, "dicom/Doe_John_4711/2024-03-05_CT/003_CT", &attr) == ERROR_NONE);
    struct told told = {.lock = PTHREAD_MUTEX_INITIALIZER, .watched = attr.inode};
    EXPECT_OK(
        notifier_start(&notifier, f.tree, &(struct change_sink){told_name, told_listing, told_attributes, &told}));
    EXPECT_OK(pacs_begin(f.pacs, &txn)); /* nobody reads before all are there */
    for (unsigned i = 0; i < 1000; i++)
        add_image(&f, f.series, 100 + i, LONG_AGO + 100);
    pacs_end(txn);
    EXPECT(listings_after_a_while(&told) == 1);
    notifier_stop(notifier);
    EXPECT(told.listings == 1);
    EXPECT(told.all < 100);
    end(&f);
}

static void notify_new_series_changes_the_study(void)
{
    struct fixture f;
    struct attr attr;
    struct notifier *notifier;
    begin(&f, NULL);
    EXPECT(walk(&f, "png/Doe_John_4711/2024-03-05_CT", &attr) == ERROR_NONE);
    struct told told = {.lock = PTHREAD_MUTEX_INITIALIZER, .watched = attr.inode};
    EXPECT_OK(
        notifier_start(&notifier, f.tree, &(struct change_sink){told_name, told_listing, told_attributes, &told}));
    uint64_t series = memory_object(f.pacs, OBJECT_SERIES, f.study, "9", LONG_AGO + 99, TAG_SERIES_UID, "1.2.9", 0);
    add_image(&f, series, 1, LONG_AGO + 100);
    EXPECT(listings_after_a_while(&told) == 1);
    notifier_stop(notifier);
    end(&f);
}

static void notify_settled_series_leaves_ready(void)
{
    struct fixture f;
    struct attr attr;
    struct notifier *notifier;
    begin(&f, NULL);
    EXPECT(walk(&f, "ready/Doe_John_4711/2024-03-05_CT", &attr) == ERROR_NONE);
    struct told told = {.lock = PTHREAD_MUTEX_INITIALIZER, .watched = attr.inode};
    EXPECT_OK(
        notifier_start(&notifier, f.tree, &(struct change_sink){told_name, told_listing, told_attributes, &told}));
    add_image(&f, f.series, 6, (uint64_t)time(NULL));
    EXPECT(listings_after_a_while(&told) >= 1);
    notifier_stop(notifier);
    EXPECT(!there(&f, "ready/Doe_John_4711"));
    EXPECT(told.names >= 2); /* the series' own, and study.json */
    end(&f);
}

int main(void)
{
    RUN(views_list_what_they_look_up);
    RUN(views_file_is_one_inode_everywhere);
    RUN(views_listing_goes_on_behind_any_entry);
    RUN(views_dots_lead_to_the_parent);
    RUN(views_alone_is_the_root);
    RUN(views_show_thins_where_kinds_stand_together);
    RUN(uids_study_under_two_patients_is_one_folder);
    RUN(uids_earlier_version_keeps_its_bytes);
    RUN(ids_shared_value_is_a_folder_of_links);
    RUN(new_links_follow_the_order_of_arrival);
    RUN(ready_hides_what_has_not_settled);
    RUN(summary_of_the_past_keeps_its_bytes);
    RUN(tree_forged_inodes_are_not_found);
    RUN(notify_thousand_arrivals_are_one_notice);
    RUN(notify_new_series_changes_the_study);
    RUN(notify_settled_series_leaves_ready);
    return check_done();
}
