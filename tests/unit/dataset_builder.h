/* Small data sets made by hand: explicit VR little endian, elements in order of tag whatever the order they were set
 * in. A new one is a CT image of a named patient; a test changes what it is about. No library of ours takes part. */
#ifndef TESTS_UNIT_DATASET_BUILDER_H
#define TESTS_UNIT_DATASET_BUILDER_H

#include "codecs/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUILDER_ELEMENTS 64
#define BUILDER_CT "1.2.840.10008.5.1.4.1.1.2"
#define BUILDER_EXPLICIT "1.2.840.10008.1.2.1"

struct builder_element {
    uint32_t tag;
    char vr[3];
    uint8_t *value;
    size_t size;
};

struct builder {
    struct builder_element elements[BUILDER_ELEMENTS];
    size_t count;
    char sop_class[80], sop_instance[80];
};

/* Replaces, adds, or with NULL removes an element. */
static inline void builder_bytes(struct builder *b, uint32_t tag, const char *vr, const void *value, size_t size)
{
    size_t i = 0;
    while (i < b->count && b->elements[i].tag < tag)
        i++;
    if (i < b->count && b->elements[i].tag == tag) {
        free(b->elements[i].value);
        memmove(&b->elements[i], &b->elements[i + 1], (b->count - i - 1) * sizeof b->elements[0]);
        b->count--;
    }
    if (!value || b->count == BUILDER_ELEMENTS)
        return;
    memmove(&b->elements[i + 1], &b->elements[i], (b->count - i) * sizeof b->elements[0]);
    b->count++;
    size_t even = size + size % 2;
    struct builder_element *e = &b->elements[i];
    memset(e, 0, sizeof *e);
    e->tag = tag;
    memcpy(e->vr, vr, 2);
    e->value = calloc(1, even + 1);
    if (!e->value)
        exit(1);
    memcpy(e->value, value, size);
    if (even > size)
        e->value[size] = memcmp(vr, "UI", 2) == 0 || memcmp(vr, "OB", 2) == 0 ? 0 : ' ';
    e->size = even;
}

static inline void builder_text(struct builder *b, uint32_t tag, const char *vr, const char *text)
{
    builder_bytes(b, tag, vr, text, text ? strlen(text) : 0);
}

static inline void builder_number(struct builder *b, uint32_t tag, unsigned value)
{
    uint8_t bytes[2];
    put_u16(bytes, (uint16_t)value);
    builder_bytes(b, tag, "US", bytes, 2);
}

/* A native image of 16 bits, its contents from `seed`. */
static inline void builder_pixels(struct builder *b, unsigned rows, unsigned columns, unsigned seed)
{
    size_t size = (size_t)rows * columns * 2;
    uint8_t *pixels = malloc(size + 1);
    uint32_t state = seed * 2654435761u + 1;
    if (!pixels)
        exit(1);
    for (size_t i = 0; i < size; i += 2) {
        state = state * 1103515245u + 12345u;
        put_u16(pixels + i, (uint16_t)((state >> 16) & 0x0FFF));
    }
    builder_number(b, 0x00280002, 1);
    builder_text(b, 0x00280004, "CS", "MONOCHROME2");
    builder_number(b, 0x00280010, rows);
    builder_number(b, 0x00280011, columns);
    builder_number(b, 0x00280100, 16);
    builder_number(b, 0x00280101, 12);
    builder_number(b, 0x00280102, 11);
    builder_number(b, 0x00280103, 0);
    builder_bytes(b, 0x7FE00010, "OW", pixels, size);
    free(pixels);
}

static inline void builder_uid(struct builder *b, const char *study, const char *series, const char *instance)
{
    builder_text(b, 0x0020000D, "UI", study);
    builder_text(b, 0x0020000E, "UI", series);
    builder_text(b, 0x00080018, "UI", instance);
    snprintf(b->sop_instance, sizeof b->sop_instance, "%s", instance);
}

static inline void builder_init(struct builder *b)
{
    memset(b, 0, sizeof *b);
    snprintf(b->sop_class, sizeof b->sop_class, "%s", BUILDER_CT);
    builder_text(b, 0x00080005, "CS", "ISO_IR 192");
    builder_text(b, 0x00080016, "UI", BUILDER_CT);
    builder_text(b, 0x00080020, "DA", "20240305");
    builder_text(b, 0x00080060, "CS", "CT");
    builder_text(b, 0x00081030, "LO", "Thorax");
    builder_text(b, 0x0008103E, "LO", "Lung");
    builder_text(b, 0x00100010, "PN", "Doe^John");
    builder_text(b, 0x00100020, "LO", "4711");
    builder_text(b, 0x00100030, "DA", "19700101");
    builder_text(b, 0x00200011, "IS", "3");
    builder_text(b, 0x00200013, "IS", "42");
    builder_uid(b, "1.2.3", "1.2.3.4", "1.2.3.4.5");
    builder_pixels(b, 4, 4, 1);
}

static inline void builder_release(struct builder *b)
{
    for (size_t i = 0; i < b->count; i++)
        free(b->elements[i].value);
    b->count = 0;
}

/* Appends the data set. */
static inline void builder_write(const struct builder *b, struct buf *out)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct builder_element *e = &b->elements[i];
        buf_u16(out, (uint16_t)(e->tag >> 16));
        buf_u16(out, (uint16_t)e->tag);
        buf_append(out, e->vr, 2);
        if (strstr("OB OW OF UN UT SQ", e->vr)) {
            buf_u16(out, 0);
            buf_u32(out, (uint32_t)e->size);
        } else {
            buf_u16(out, (uint16_t)e->size);
        }
        buf_append(out, e->value, e->size);
    }
}

#endif
