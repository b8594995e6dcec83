/* Layer: net/ctl. The words of the command line that are about attributes: KEYWORD=VALUE, columns, UIDs. */
#ifndef NET_CTL_MATCH_WORDS_H
#define NET_CTL_MATCH_WORDS_H

#include "index/query/find.h"

/* "PatientID" or "GGGG,EEEE"; ERROR_USAGE names the nearest keyword that rows carry. */
struct error attribute_word(const char *word, size_t size, uint32_t *tag);
/* Adds KEYWORD=VALUE to a query. */
struct error match_word(struct query *query, const char *word);
/* Adds each of "PatientID,StudyDate" as a column; a comma inside GGGG,EEEE is understood. */
struct error column_words(struct query *query, const char *words, uint32_t *tags, unsigned *count);
/* Whether a word is a UID (PS3.5 9.1): digits and dots, at most 64. */
bool is_uid_word(const char *word);

#endif
