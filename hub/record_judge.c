#include "hub/record_judge.h"

#include "hub/record_redact.h"
#include "twin/record_view.h"

#include <string.h>

void record_question_init(struct record_question *question, const struct viewer *viewer)
{
    *question = (struct record_question){
        .viewer = viewer, .start_ns = TIMESTAMP_NONE, .end_ns = TIMESTAMP_NONE};
}

/* Whether the filter looks into the records' data. */
static bool filter_reads_data(const struct filter *filter)
{
    const struct path *path;
    for (size_t i = 0; filter && (path = filter_path(filter, i)) != NULL; i++) {
        struct slice root = path_name(path, 0);
        if (root.size == strlen("data") && memcmp(root.at, "data", root.size) == 0)
            return true;
    }
    return false;
}

bool record_judge_init(struct record_judge *judge, const struct record_question *question)
{
    *judge = (struct record_judge){
        .question = question,
        .sees_everything = viewer_sees_everything(question->viewer),
        .reads_data = filter_reads_data(question->filter),
    };
    if (judge->sees_everything && !judge->reads_data)
        return true;
    judge->parser = doc_parser_new();
    return judge->parser != NULL;
}

void record_judge_done(struct record_judge *judge)
{
    doc_parser_free(judge->parser);
    buf_done(&judge->data);
    judge->parser = NULL;
}

/* ---- the question ---- */

static bool slice_says(struct slice slice, const char *text)
{
    return slice.at && strlen(text) == slice.size && memcmp(text, slice.at, slice.size) == 0;
}

/* All but the filter. */
static bool asked_for(const struct record_question *question, const struct record *record)
{
    return (!question->vid || slice_says(record->vid, question->vid)) &&
           (!question->type || slice_says(record->type, question->type)) &&
           (!question->by_kind || record->kind == question->kind) &&
           (question->start_ns == TIMESTAMP_NONE || record->received_ns >= question->start_ns) &&
           (question->end_ns == TIMESTAMP_NONE || record->received_ns < question->end_ns);
}

static enum record_verdict look(struct record_judge *judge, struct record *record)
{
    if (judge->sees_everything)
        return RECORD_YES;
    switch (record_redact(judge->question->viewer, record, judge->parser, &judge->data)) {
    case RECORD_HIDDEN:
        return RECORD_NO;
    case RECORD_WHOLE:
        break;
    case RECORD_PARTLY:
        record->data = (struct slice){judge->data.data, judge->data.size_bytes};
        record->redacted = true;
        break;
    case RECORD_NO_MEMORY:
        return RECORD_NOT_JUDGED;
    }
    return RECORD_YES;
}

/* ---- the filter ---- */

static struct slice of_cstr(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static void hash_format(const struct record *record, char text[2 * RECORD_HASH_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < RECORD_HASH_BYTES; i++) {
        text[2 * i] = digits[record->hash[i] >> 4];
        text[2 * i + 1] = digits[record->hash[i] & 15];
    }
}

static bool filter_holds(struct record_judge *judge, const struct record *record)
{
    const struct record_question *question = judge->question;
    struct doc_limits limits = {.max_bytes = RECORD_MAX_BYTES, .max_depth = RECORD_MAX_DEPTH};
    struct doc_ref data = {NULL, NULL};
    char id[RECORD_ID_TEXT_BYTES], hash[2 * RECORD_HASH_BYTES];
    record_id_format(record->id, id);
    hash_format(record, hash);
    /* What is on record was read when it came: it is valid, and within these limits. */
    if (judge->reads_data)
        doc_parse(judge->parser, record->data.at, record->data.size, limits, &data);
    struct record_view view = {
        .id = {id, 2 * RECORD_ID_BYTES},
        .seq = record->seq,
        .hash = record->redacted ? (struct slice){NULL, 0} : (struct slice){hash, sizeof hash},
        .kind = of_cstr(record_kind_name(record->kind)),
        .vid = record->vid,
        .region = record->region,
        .type = record->type,
        .severity = of_cstr(record_severity_name(record->severity)),
        .actor = record->actor,
        .request_id = record->request_id,
        .boot = record->boot,
        .vehicle_seq = record->vehicle_seq,
        .timestamp_ns = record->timestamp_ns,
        .received_ns = record->received_ns,
        .archived_ns = record->archived_ns,
        .stream = record->stream,
        .stream_seq = record->stream_seq,
        .data = data,
    };
    struct subject_of_query subject = {.record = &view};
    return filter_matches(question->filter, &subject, question->now_ns);
}

enum record_verdict record_judge_ask(struct record_judge *judge, struct record *record)
{
    if (!asked_for(judge->question, record))
        return RECORD_NO;
    enum record_verdict verdict = look(judge, record);
    if (verdict != RECORD_YES || !judge->question->filter)
        return verdict;
    bool holds = filter_holds(judge, record);
    if (!groups_seal_holds(&judge->question->seal))
        return RECORD_CHANGED;
    return holds ? RECORD_YES : RECORD_NO;
}
