/* What lives here: NNNN.json, the data set as DICOM JSON model (PS3.18 F). Its size was counted at ingest; if that was
 * done by another version of the generator, it is counted when first asked for. */
#include "fs/file.h"
#include "fs/held.h"

#include "codecs/base/json.h"
#include "codecs/dicom/json_model.h"

/* Whether it came under its plain name. The size counted at ingest, before that was decided, is for that name. */
static bool came_plain(const struct instance_row *row)
{
    return (row->flags & INSTANCE_SHOWN) && !(row->flags & INSTANCE_ELSEWHERE);
}

/* Bulk data are named by the path in uids/, relative to the mount, under which this edition came: what shows now may
 * change, the text of an edition does not. */
static struct error bulk_uri(const struct request *request, const struct instance_row *row, struct buf *uri)
{
    struct object_row series, study;
    struct node folders[2];
    uint64_t study_folder, series_folder;
    TRY(pacs_object(request->txn, row->series, &series));
    study = series;
    TRY(object_above(request, OBJECT_STUDY, &study));
    TRY(uids_folders(request, &series, &study_folder, &series_folder));
    node_of(study_folder, &folders[0]);
    node_of(series_folder, &folders[1]);
    buf_text(uri, "uids/");
    uid_component(attribute(&study.attributes, TAG_STUDY_UID), folders[0].id, uri);
    buf_text(uri, "/");
    uid_component(attribute(&series.attributes, TAG_SERIES_UID), folders[1].id, uri);
    buf_text(uri, "/");
    uid_component(row->uid, row->id, uri);
    if (!came_plain(row))
        buf_printf(uri, "@%u", row->version);
    buf_text(uri, file_kind_by_code(FILE_DCM)->name);
    return buf_error(uri);
}

static bool is_counted(const struct instance_row *row)
{
    return row->json_version == JSON_MODEL_VERSION && came_plain(row);
}

static struct error look_up(struct tree *tree, uint64_t id, struct instance_row *row, struct buf *uri)
{
    struct request request = {.tree = tree};
    TRY(pacs_begin(tree->pacs, &request.txn));
    struct error err = pacs_instance(request.txn, id, row);
    if (err.code == ERROR_NONE)
        err = bulk_uri(&request, row, uri);
    pacs_end(request.txn);
    return err;
}

static struct error render_to(struct tree *tree, uint64_t id, json_sink sink, void *context, uint64_t *size)
{
    struct held_file *file;
    struct json_model *model = NULL;
    struct instance_facts facts;
    struct instance_row row;
    struct buf uri;
    TRY(held_get(tree->held, id, &file));
    buf_init(&uri);
    struct error err = NO_ERROR;
    CHECK(look_up(tree, id, &row, &uri));
    pacs_file_facts(held_file(file), &facts);
    CHECK(json_model_new(&model, sink, context, facts.syntax, buf_string(&uri), facts.prefix_size, false));
    CHECK(pacs_file_tokens(held_file(file), 0, json_model_token, model));
    CHECK(json_model_finish(model, size, NULL));
    if (is_counted(&row) && *size != row.json_size)
        err = error_make(ERROR_BROKEN, "JSON of instance %s: %llu bytes, announced %llu", facts.uid,
                         (unsigned long long)*size, (unsigned long long)row.json_size);
out:
    json_model_free(model);
    buf_release(&uri);
    held_put(tree->held, file);
    return err;
}

struct text {
    struct tree *tree;
    uint64_t id;
};

static struct error count(void *context, struct buf *out)
{
    const struct text *text = context;
    uint64_t size;
    TRY(render_to(text->tree, text->id, NULL, NULL, &size));
    buf_u64(out, size);
    return NO_ERROR;
}

static struct error render(void *context, struct buf *out)
{
    const struct text *text = context;
    uint64_t size;
    return render_to(text->tree, text->id, json_to_buf, out, &size);
}

struct error file_json_size(const struct request *request, const struct instance_row *row, uint64_t *size)
{
    struct text text = {.tree = request->tree, .id = row->id};
    if (!is_counted(row))
        return size_from_cache(request, node_inode(NODE_FILE, row->id, FILE_JSON), count, &text, size);
    *size = row->json_size;
    return NO_ERROR;
}

struct error file_json_read(struct tree *tree, struct node node, uint64_t offset, size_t size, struct piece *piece)
{
    struct text text = {.tree = tree, .id = node.id};
    return piece_from_cache(tree, node, render, &text, offset, size, piece);
}
