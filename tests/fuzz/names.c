/* libFuzzer: one byte for the limit, then two texts parted by a NUL. Both are a name, a person and a template in turn;
 * what must hold for any input is required. */
#include "codecs/dicom/names.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void try_component(const char *text, size_t max)
{
    struct buf name, again, number;
    buf_init(&name);
    buf_init(&again);
    buf_init(&number);
    name_component(&name, text, max);
    name_component(&again, buf_string(&name), max);
    require(name.size <= max && strcmp(buf_string(&name), buf_string(&again)) == 0);
    require(name.size == 0 || (name.data[0] != '.' && name.data[name.size - 1] != '.'));
    require(strpbrk(buf_string(&name), "/\\:*?\"<>| ") == NULL);
    name_with_number(&number, buf_string(&name), 2);
    require(number.size <= NAME_BYTES_MAX);
    buf_clear(&name);
    buf_clear(&again);
    name_fold(&name, text);
    name_fold(&again, buf_string(&name));
    require(strcmp(buf_string(&name), buf_string(&again)) == 0);
    buf_release(&number);
    buf_release(&again);
    buf_release(&name);
}

static void try_person(const char *a, const char *b)
{
    struct buf out;
    buf_init(&out);
    person_display(&out, a);
    person_fold(&out, a);
    require(person_compare(a, b) == person_compare(b, a));
    require(person_compare(a, a) != PERSON_DIFFERENT);
    is_placeholder(a, (const char *const[]){b, NULL});
    buf_release(&out);
}

static const char *any_field(void *context, const char *field)
{
    return strcmp(field, "none") == 0 ? NULL : context;
}

static void try_template(const char *template, char *value)
{
    static const char *const fields[] = {"name", "none"};
    struct buf out;
    buf_init(&out);
    struct error checked = name_template_check(template, fields, sizeof fields / sizeof *fields);
    struct error rendered = name_render(&out, template, any_field, value);
    require(checked.code != ERROR_NONE || rendered.code == ERROR_NONE);
    require(out.size <= NAME_BYTES_MAX);
    error_release(&checked);
    error_release(&rendered);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    char *a = strndup((const char *)data + 1, size - 1);
    size_t used = strlen(a) + 2;
    char *b = used < size ? strndup((const char *)data + used, size - used) : strdup("");
    try_component(a, data[0] % (NAME_BYTES_MAX + 1));
    try_person(a, b);
    try_template(a, b);
    free(b);
    free(a);
    return 0;
}
