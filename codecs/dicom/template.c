/* What lives here: name templates, their grammar and their rendering.
 *
 *   template = { literal | "{" field { "|" field } [ ":0" width ] "}" }
 *   field    = letters, digits, "_"
 *   width    = 1 ... 18
 *
 * There is no escape for braces. An empty field takes its joint with it: the run of `_`, `-`, `.` and blanks that
 * stands before it; where nothing but such a run has been put yet, the run behind it. A joint at the end or the start
 * of the template stays for name_component() to trim.
 */
#include "codecs/dicom/names.h"

#include <ctype.h>
#include <string.h>

#define JOINTS "_-. "
enum { WIDTH_MAX = 18, FIELD_BYTES_MAX = 64 };

/* One piece of a template: a literal or the inside of a pair of braces. */
struct piece {
    const char *text;
    size_t size; /* of the literal, or of the alternatives without ":0N" */
    bool field;
    unsigned width; /* 0: not padded */
};

static struct error field_width(const char *pattern, const char *text, size_t size, unsigned *width)
{
    *width = 0;
    for (size_t i = 1; i < size && *width <= WIDTH_MAX; i++) {
        if (!isdigit((unsigned char)text[i]))
            return error_make(ERROR_USAGE, "name template \"%s\": \":%.*s\" is no width like \":03\"", pattern,
                              (int)size, text);
        *width = *width * 10 + (unsigned)(text[i] - '0');
    }
    if (size < 2 || text[0] != '0' || *width == 0 || *width > WIDTH_MAX)
        return error_make(ERROR_USAGE, "name template \"%s\": widths are \":01\" to \":0%d\"", pattern, WIDTH_MAX);
    return NO_ERROR;
}

static struct error template_size(const char *pattern)
{
    return strlen(pattern) <= NAME_TEMPLATE_BYTES_MAX
               ? NO_ERROR
               : error_make(ERROR_USAGE, "a name template has at most %d bytes", NAME_TEMPLATE_BYTES_MAX);
}

/* Takes the next piece, not at the end; `*at` moves behind it. */
static struct error piece_next(const char *pattern, const char **at, struct piece *piece)
{
    *piece = (struct piece){.text = *at, .size = strcspn(*at, "{}")};
    if (piece->size > 0) {
        *at += piece->size;
        return NO_ERROR;
    }
    size_t inside = **at == '{' ? strcspn(*at + 1, "{}") : 0;
    if (**at == '}' || (*at)[1 + inside] != '}')
        return error_make(ERROR_USAGE, "name template \"%s\": braces do not match", pattern);
    piece->text = *at + 1;
    piece->size = inside;
    piece->field = true;
    *at += inside + 2;
    const char *colon = memchr(piece->text, ':', inside);
    if (!colon)
        return NO_ERROR;
    piece->size = (size_t)(colon - piece->text);
    return field_width(pattern, colon + 1, inside - piece->size - 1, &piece->width);
}

/* Cuts the next of the alternatives off `piece`; false: none are left. */
static bool alternative_next(struct piece *piece, const char **field, size_t *size)
{
    if (!piece->text)
        return false;
    const char *bar = memchr(piece->text, '|', piece->size);
    *field = piece->text;
    *size = bar ? (size_t)(bar - piece->text) : piece->size;
    piece->size -= bar ? *size + 1 : *size;
    piece->text = bar ? bar + 1 : NULL;
    return true;
}

/* A whole number in its shortest form, padded to `width` as printf's %0*d does it: "170031", "-01", "+7" as "007".
 * Others pass unchanged, and all do where the template does not pad. */
static void put_number(struct buf *out, const char *text, unsigned width)
{
    const char *digits = text + (*text == '-' || *text == '+');
    size_t count = strspn(digits, "0123456789");
    if (width == 0 || count == 0 || digits[count]) {
        buf_text(out, text);
        return;
    }
    while (count > 1 && *digits == '0') {
        digits++;
        count--;
    }
    size_t taken = count;
    if (*text == '-' && *digits != '0') {
        buf_byte(out, '-');
        taken++;
    }
    for (; taken < width; taken++)
        buf_byte(out, '0');
    buf_append(out, digits, count);
}

/* The first alternative that is not empty, as a component. */
static void piece_value(struct buf *out, struct piece piece, name_field value, void *context)
{
    const char *field;
    size_t size;
    while (alternative_next(&piece, &field, &size)) {
        char name[FIELD_BYTES_MAX];
        if (size >= sizeof name)
            continue;
        memcpy(name, field, size);
        name[size] = 0;
        const char *text = value(context, name);
        name_component(out, text ? text : "", NAME_BYTES_MAX);
        if (out->size > 0 || out->failed)
            return;
    }
}

static size_t without_joint(const struct buf *b)
{
    size_t size = b->size;
    while (size > 0 && strchr(JOINTS, b->data[size - 1]))
        size--;
    return size;
}

struct rendering {
    struct buf whole, value;
    size_t behind_value; /* where in `whole` the last value ends: what an empty field takes away is never older */
    bool skip_joint;
};

static void render_literal(struct rendering *r, const struct piece *piece)
{
    size_t skipped = 0;
    while (r->skip_joint && skipped < piece->size && strchr(JOINTS, piece->text[skipped]))
        skipped++;
    r->skip_joint = false;
    buf_append(&r->whole, piece->text + skipped, piece->size - skipped);
}

static void render_field(struct rendering *r, const struct piece *piece, name_field value, void *context)
{
    buf_clear(&r->value);
    piece_value(&r->value, *piece, value, context);
    if (r->value.size > 0) {
        put_number(&r->whole, buf_string(&r->value), piece->width);
        r->behind_value = r->whole.size;
        r->skip_joint = false;
        return;
    }
    size_t kept = without_joint(&r->whole);
    if (kept < r->behind_value)
        kept = r->behind_value;
    r->skip_joint = kept == 0;
    if (r->whole.data)
        r->whole.data[r->whole.size = kept] = 0;
}

struct error name_render(struct buf *out, const char *pattern, name_field value, void *context)
{
    struct error err;
    struct rendering r = {0};
    struct piece piece;
    CHECK(template_size(pattern));
    for (const char *at = pattern; *at;) {
        CHECK(piece_next(pattern, &at, &piece));
        if (piece.field)
            render_field(&r, &piece, value, context);
        else
            render_literal(&r, &piece);
        CHECK(buf_error(&r.value));
    }
    CHECK(buf_error(&r.whole));
    name_component(out, buf_string(&r.whole), NAME_BYTES_MAX);
    err = buf_error(out);
out:
    buf_release(&r.whole);
    buf_release(&r.value);
    return err;
}

static bool is_known(const char *field, size_t size, const char *const *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(fields[i]) == size && memcmp(fields[i], field, size) == 0)
            return true;
    return false;
}

static struct error literal_check(const char *pattern, const struct piece *piece)
{
    for (size_t i = 0; i < piece->size; i++)
        if (iscntrl((unsigned char)piece->text[i]) || strchr("/\\:*?\"<>|", piece->text[i]))
            return error_make(ERROR_USAGE, "name template \"%s\": '%c' cannot stand in a name", pattern,
                              iscntrl((unsigned char)piece->text[i]) ? '?' : piece->text[i]);
    return NO_ERROR;
}

struct error name_template_check(const char *pattern, const char *const *fields, size_t count)
{
    struct piece piece;
    TRY(template_size(pattern));
    for (const char *at = pattern; *at;) {
        TRY(piece_next(pattern, &at, &piece));
        if (!piece.field) {
            TRY(literal_check(pattern, &piece));
            continue;
        }
        const char *field;
        size_t size;
        while (alternative_next(&piece, &field, &size))
            if (!is_known(field, size, fields, count))
                return error_make(ERROR_USAGE, "name template \"%s\": there is no field \"%.*s\"", pattern, (int)size,
                                  field);
    }
    return NO_ERROR;
}
