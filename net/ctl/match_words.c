/* What lives here: reading attribute words. What does not: what matching means (index/query). */
#include "net/ctl/match_words.h"

#include "codecs/base/settings.h"

#include <stdio.h>
#include <string.h>

#define KNOWN_MAX 128
#define WORD_MAX 128

static const char *nearest_keyword(const char *word)
{
    const char *known[KNOWN_MAX + 1];
    size_t n = 0;
    for (enum query_level level = QUERY_PATIENT; level <= QUERY_INSTANCE; level++) {
        size_t count;
        const uint32_t *tags = query_attributes(level, &count);
        for (size_t i = 0; i < count && n < KNOWN_MAX; i++)
            known[n++] = dictionary_keyword(tags[i]);
    }
    known[n] = NULL;
    return nearest_word(word, known);
}

struct error attribute_word(const char *word, size_t size, uint32_t *tag)
{
    char text[WORD_MAX];
    *tag = 0;
    if (size == 0 || size >= sizeof text)
        return error_make(ERROR_USAGE, "\"%.*s\" is no keyword", (int)(size > 200 ? 200 : size), word);
    memcpy(text, word, size);
    text[size] = 0;
    *tag = dictionary_tag(text);
    if (*tag)
        return NO_ERROR;
    const char *nearest = nearest_keyword(text);
    if (nearest)
        return error_make(ERROR_USAGE, "PS3.6 has no keyword \"%s\"; did you mean %s?", text, nearest);
    return error_make(ERROR_USAGE, "PS3.6 has no keyword \"%s\" (give a keyword as PatientID, or GGGG,EEEE)", text);
}

struct error match_word(struct query *query, const char *word)
{
    uint32_t tag;
    const char *equals = strchr(word, '=');
    if (!equals)
        return error_make(ERROR_USAGE, "\"%s\" is no match: write KEYWORD=VALUE", word);
    TRY(attribute_word(word, (size_t)(equals - word), &tag));
    return query_key(query, tag, equals + 1);
}

static bool is_hex4(const char *p)
{
    return strspn(p, "0123456789abcdefABCDEF") >= 4;
}

struct error column_words(struct query *query, const char *words, uint32_t *tags, unsigned *count)
{
    for (const char *p = words; *p;) {
        size_t n = strcspn(p, ",");
        if (n == 4 && p[4] == ',' && is_hex4(p) && is_hex4(p + 5))
            n = 5 + strcspn(p + 5, ",");
        uint32_t tag;
        TRY(attribute_word(p, n, &tag));
        TRY(query_column(query, tag));
        tags[(*count)++] = tag;
        p += n + (p[n] == ',');
    }
    return NO_ERROR;
}

bool is_uid_word(const char *word)
{
    size_t size = strlen(word);
    return size > 2 && size <= 64 && strspn(word, "0123456789.") == size && strchr(word, '.');
}
