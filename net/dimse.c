/* What lives here: the command sets of DIMSE messages. What does not: PDUs (association_dcmtk.cc), what is done about
 * a command (service.c and the services).
 */
#include "net/dimse.h"

#include "codecs/base/buf.h"
#include "net/pdu.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define NO_DATA_SET 0x0101   /* Command Data Set Type (0000,0800) */
#define ERROR_COMMENT_MAX 64 /* LO */

/* ---- in ---------------------------------------------------------------------------------------------------------- */

/* What is taken from a command set, as it comes; `text` and `number` are offsets into struct taken. */
struct taken {
    char sop_class[65], requested_class[65], sop_instance[65], requested_instance[65];
    uint16_t field, message_id, data_set_type;
};

static const struct command_element {
    uint16_t element;
    bool text;
    size_t offset;
} elements[] = {
    {0x0002, true, offsetof(struct taken, sop_class)},
    {0x0003, true, offsetof(struct taken, requested_class)},
    {0x0100, false, offsetof(struct taken, field)},
    {0x0110, false, offsetof(struct taken, message_id)},
    {0x0800, false, offsetof(struct taken, data_set_type)},
    {0x1000, true, offsetof(struct taken, sop_instance)},
    {0x1001, true, offsetof(struct taken, requested_instance)},
};

static struct error take_element(struct taken *taken, uint16_t number, const uint8_t *value, size_t size)
{
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
        const struct command_element *element = &elements[i];
        if (element->element != number)
            continue;
        char *to = (char *)taken + element->offset;
        if (!element->text) {
            if (size != 2)
                return error_make(ERROR_MALFORMED, "command element (0000,%04x) has %zu bytes instead of 2", number,
                                  size);
            uint16_t word = get_u16(value);
            memcpy(to, &word, sizeof word);
            return NO_ERROR;
        }
        while (size > 0 && (value[size - 1] == 0 || value[size - 1] == ' '))
            size--;
        if (size > 64)
            return error_make(ERROR_MALFORMED, "command element (0000,%04x) is a UID of %zu characters", number, size);
        memcpy(to, value, size);
        to[size] = 0;
        if (strlen(to) != size)
            return error_make(ERROR_MALFORMED, "command element (0000,%04x) has a NUL in its UID", number);
    }
    return NO_ERROR;
}

static struct error parse(const uint8_t *bytes, size_t size, struct command *command)
{
    struct taken taken = {.data_set_type = NO_DATA_SET};
    for (size_t at = 0; at < size;) {
        if (size - at < 8)
            return error_make(ERROR_MALFORMED, "a command set ends inside of an element");
        uint16_t group = get_u16(bytes + at), element = get_u16(bytes + at + 2);
        uint32_t length = get_u32(bytes + at + 4);
        at += 8;
        if (group != 0 || length > size - at)
            return error_make(ERROR_MALFORMED, "element (%04x,%04x) of %u bytes does not belong into a command set",
                              group, element, length);
        TRY(take_element(&taken, element, bytes + at, length));
        at += length;
    }
    command->field = taken.field;
    command->message_id = taken.message_id;
    command->has_data_set = taken.data_set_type != NO_DATA_SET;
    snprintf(command->sop_class, sizeof command->sop_class, "%s",
             *taken.sop_class ? taken.sop_class : taken.requested_class);
    snprintf(command->sop_instance, sizeof command->sop_instance, "%s",
             *taken.sop_instance ? taken.sop_instance : taken.requested_instance);
    return NO_ERROR;
}

struct error dimse_read_command(struct association *association, struct command *command, bool *released)
{
    struct error err = NO_ERROR;
    struct buf whole; /* only when a command set comes in several fragments */
    size_t fragments = 0;
    buf_init(&whole);
    *released = false;
    for (bool between = true;; between = false) {
        struct fragment fragment;
        CHECK(association_read(association, between, &fragment));
        if (fragment.kind == FRAGMENT_RELEASE) {
            *released = true;
            break;
        }
        if (fragment.kind != FRAGMENT_COMMAND) {
            err = error_make(ERROR_MALFORMED, "violates the protocol: a data set without a command");
            goto out;
        }
        if (between) {
            command->context = fragment.context;
        } else if (command->context != fragment.context) {
            err = error_make(ERROR_MALFORMED, "violates the protocol: a command in contexts %u and %u",
                             command->context, fragment.context);
            goto out;
        }
        if (fragment.last && whole.size == 0) {
            err = parse(fragment.data, fragment.size, command);
            break;
        }
        if (++fragments + whole.size + fragment.size > DIMSE_COMMAND_MAX) {
            err = error_make(ERROR_MALFORMED, "a command set beyond %d bytes", DIMSE_COMMAND_MAX);
            goto out;
        }
        buf_append(&whole, fragment.data, fragment.size);
        CHECK(buf_error(&whole));
        if (fragment.last) {
            err = parse(whole.data, whole.size, command);
            break;
        }
    }
out:
    buf_release(&whole);
    return err;
}

struct error dimse_read_data_set(struct association *association, const struct command *command, uint64_t max_bytes,
                                 void (*take)(void *context, const void *bytes, size_t size), void *context)
{
    struct fragment fragment = {.last = false};
    for (uint64_t bytes = 0; !fragment.last; bytes += fragment.size + PDV_HEAD) {
        if (bytes > max_bytes)
            return error_make(ERROR_REFUSED, "a data set beyond max_object, %llu bytes; raise it if there are such",
                              (unsigned long long)max_bytes);
        TRY(association_read(association, false, &fragment));
        if (fragment.kind != FRAGMENT_DATA)
            return error_make(ERROR_MALFORMED, "violates the protocol: %s in the middle of a data set",
                              fragment.kind == FRAGMENT_COMMAND ? "a command" : "a release");
        if (fragment.context != command->context)
            return error_make(ERROR_MALFORMED, "violates the protocol: a data set in contexts %u and %u",
                              command->context, fragment.context);
        take(context, fragment.data, fragment.size);
    }
    return NO_ERROR;
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

static void element_begin(struct buf *out, uint16_t element, size_t size)
{
    buf_u16(out, 0);
    buf_u16(out, element);
    buf_u32(out, (uint32_t)size);
}

static void element_word(struct buf *out, uint16_t element, uint16_t word)
{
    element_begin(out, element, 2);
    buf_u16(out, word);
}

static void element_text(struct buf *out, uint16_t element, const char *text, size_t size, char padding)
{
    if (size == 0)
        return;
    element_begin(out, element, size + (size & 1));
    buf_append(out, text, size);
    if (size & 1)
        buf_byte(out, (uint8_t)padding);
}

/* LO in the default repertoire: what it cannot say becomes something that it can. */
static size_t comment_characters(char out[ERROR_COMMENT_MAX], const char *comment)
{
    size_t size = 0;
    for (const unsigned char *c = (const unsigned char *)comment; *c && size < ERROR_COMMENT_MAX; c++) {
        if ((*c & 0xC0) == 0x80)
            continue; /* the rest of a character of UTF-8 */
        out[size++] = *c == '\\' ? '/' : *c < 0x20 || *c > 0x7E ? '?' : (char)*c;
    }
    while (size > 0 && out[size - 1] == ' ')
        size--;
    return size;
}

struct error dimse_answer(struct association *association, const struct command *request, uint16_t status,
                          const char *comment)
{
    char text[ERROR_COMMENT_MAX];
    struct buf out;
    buf_init(&out);
    element_begin(&out, 0x0000, 4);
    buf_u32(&out, 0); /* Command Group Length, when it is known */
    element_text(&out, 0x0002, request->sop_class, strlen(request->sop_class), 0);
    element_word(&out, 0x0100, request->field | DIMSE_RESPONSE);
    element_word(&out, 0x0120, request->message_id);
    element_word(&out, 0x0800, NO_DATA_SET);
    element_word(&out, 0x0900, status);
    element_text(&out, 0x0902, text, comment ? comment_characters(text, comment) : 0, ' ');
    element_text(&out, 0x1000, request->sop_instance, strlen(request->sop_instance), 0);
    struct error err = buf_error(&out);
    if (err.code == ERROR_NONE) {
        put_u32(out.data + 8, (uint32_t)out.size - 12);
        struct fragment fragment = {FRAGMENT_COMMAND, true, request->context, out.data, out.size};
        err = association_write(association, &fragment);
    }
    buf_release(&out);
    return err;
}
