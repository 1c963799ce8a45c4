/*
 * epoch: when may a value that was replaced be freed? Readers of the store take no lock; they
 * enter an epoch, follow atomic pointers to immutable values, and leave. A writer that unlinked a
 * value retires it; it is freed once every reader that could have seen it has left. So a query over
 * the whole fleet never makes the fold wait, however long it runs (epoch-based reclamation, Fraser
 * 2004, in its simplest form). C11 atomics throughout, so that TSan can judge it.
 *
 * Threads: epoch_enter/leave from any number of threads, up to EPOCH_READERS_MAX of them inside at
 *          once (one more waits for a place). epoch_retire and epoch_reclaim from one thread at a
 *          time: the store's writer.
 * Rule: pointers to shared values are loaded and stored with memory_order_seq_cst (`atomic_load`,
 *       `atomic_store`); on x86-64 such a load is a plain one.
 */
#ifndef HUB_EPOCH_H
#define HUB_EPOCH_H

#include <stddef.h>
#include <stdint.h>

enum { EPOCH_READERS_MAX = 128 };

struct epoch;
struct epoch *epoch_new(void);
/* Frees everything retired. Nobody is inside any more. */
void epoch_free(struct epoch *epoch);

/* Values loaded between enter and leave stay alive until leave. The result goes to leave. */
size_t epoch_enter(struct epoch *epoch);
void epoch_leave(struct epoch *epoch, size_t place);

/* `block` is linked nowhere any more; free() it when nobody can be reading it. NULL is nothing. */
void epoch_retire(struct epoch *epoch, const void *block);
/* The same for what free() alone does not free. */
void epoch_retire_by(struct epoch *epoch, void *block, void (*release)(void *block));
/* Frees what can be freed. epoch_retire does so by itself now and then, and so that no call takes
 * long: EPOCH_STEP_MAX blocks at most, when a reader that stayed leaves much behind. */
enum { EPOCH_STEP_MAX = 1024 };
void epoch_reclaim(struct epoch *epoch);
/* How long the longest of these steps took. */
int64_t epoch_longest_step_ns(const struct epoch *epoch);
size_t epoch_retired(const struct epoch *epoch);

#endif
