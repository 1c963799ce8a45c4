/* The order in which a pool takes its jobs, and how many of one owner it takes. */
#include "hub/workers.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

enum { QUEUE = 8, JOBS = 2 * QUEUE };

/* The one thread is busy with a job of its own until the door is opened; what it ran then. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open, busy;
    size_t inside; /* that are being held */
    char ran[JOBS + 1];
    size_t count;
} door = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct workers *workers;
static struct worker_job keeper, jobs[JOBS];
static size_t job_count;

static void keep(struct worker_job *job)
{
    (void)job;
    pthread_mutex_lock(&door.lock);
    door.busy = true;
    pthread_cond_broadcast(&door.changed);
    while (!door.open)
        pthread_cond_wait(&door.changed, &door.lock);
    pthread_mutex_unlock(&door.lock);
}

static void hold(struct worker_job *job)
{
    pthread_mutex_lock(&door.lock);
    door.inside++;
    pthread_cond_broadcast(&door.changed);
    while (!door.open)
        pthread_cond_wait(&door.changed, &door.lock);
    door.ran[door.count++] = (char)job->owner;
    pthread_cond_broadcast(&door.changed);
    pthread_mutex_unlock(&door.lock);
}

static void note(struct worker_job *job)
{
    pthread_mutex_lock(&door.lock);
    door.ran[door.count++] = (char)job->owner;
    pthread_cond_broadcast(&door.changed);
    pthread_mutex_unlock(&door.lock);
}

static void drop(struct worker_job *job)
{
    (void)job;
}

static int begin(void **state)
{
    (void)state;
    memset(door.ran, 0, sizeof door.ran);
    door.open = door.busy = false;
    door.count = job_count = 0;
    workers = workers_new(1, QUEUE);
    if (!workers)
        return -1;
    keeper = (struct worker_job){.run = keep, .drop = drop};
    assert_true(workers_submit(workers, &keeper));
    pthread_mutex_lock(&door.lock);
    while (!door.busy)
        pthread_cond_wait(&door.changed, &door.lock);
    pthread_mutex_unlock(&door.lock);
    return 0;
}

static bool submit(char owner)
{
    jobs[job_count] = (struct worker_job){.run = note, .drop = drop, .owner = (uint64_t)owner};
    bool taken = workers_submit(workers, &jobs[job_count]);
    job_count += taken;
    return taken;
}

/* Lets the thread go on, and ends when all has run. */
static const char *order(void)
{
    pthread_mutex_lock(&door.lock);
    door.open = true;
    pthread_cond_broadcast(&door.changed);
    while (door.count < job_count)
        pthread_cond_wait(&door.changed, &door.lock);
    pthread_mutex_unlock(&door.lock);
    assert_true(workers_stop(workers, 20000));
    workers_free(workers);
    return door.ran;
}

static void who_has_many_waiting_keeps_another_waiting_for_one(void **state)
{
    (void)state;
    for (const char *at = "aaaabcb"; *at; at++)
        assert_true(submit(*at));
    assert_string_equal(order(), "abcabaa");
}

static void jobs_of_nobody_run_as_they_came(void **state)
{
    (void)state;
    for (size_t i = 0; i < QUEUE; i++)
        assert_true(submit('\0'));
    assert_false(submit('\0'));
    assert_false(submit('a'));
    order();
}

static void no_owner_has_more_than_half_of_the_queue(void **state)
{
    (void)state;
    for (size_t i = 0; i < QUEUE / 2; i++)
        assert_true(submit('a'));
    assert_false(submit('a'));
    assert_true(submit('b'));
    assert_false(submit('a'));
    assert_string_equal(order(), "abaaa");
}

/* A pool of two, and nobody inside. */
static int begin_two(void **state)
{
    (void)state;
    memset(door.ran, 0, sizeof door.ran);
    door.open = false;
    door.count = door.inside = job_count = 0;
    workers = workers_new(2, QUEUE);
    return workers ? 0 : -1;
}

static void submit_held(char owner)
{
    jobs[job_count] = (struct worker_job){.run = hold, .drop = drop, .owner = (uint64_t)owner};
    assert_true(workers_submit(workers, &jobs[job_count]));
    job_count++;
}

static void wait_for(const size_t *number, size_t value)
{
    pthread_mutex_lock(&door.lock);
    while (*number < value)
        pthread_cond_wait(&door.changed, &door.lock);
    pthread_mutex_unlock(&door.lock);
}

static void an_owner_alone_has_all_threads(void **state)
{
    (void)state;
    submit_held('a');
    submit_held('a');
    wait_for(&door.inside, 2); /* for ever where one of them is kept idle */
    assert_string_equal(order(), "aa");
}

static void who_asked_lately_finds_a_thread_idle(void **state)
{
    (void)state;
    assert_true(submit('b'));
    wait_for(&door.count, 1);
    submit_held('a');
    wait_for(&door.inside, 1);
    submit_held('a'); /* waits for the first */
    assert_true(submit('b'));
    wait_for(&door.count, 2); /* for ever where the second was let in */
    assert_int_equal(door.inside, 1);
    assert_int_equal(workers_waiting(workers), 1);
    assert_string_equal(order(), "bbaa");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(who_has_many_waiting_keeps_another_waiting_for_one, begin),
        cmocka_unit_test_setup(jobs_of_nobody_run_as_they_came, begin),
        cmocka_unit_test_setup(no_owner_has_more_than_half_of_the_queue, begin),
        cmocka_unit_test_setup(an_owner_alone_has_all_threads, begin_two),
        cmocka_unit_test_setup(who_asked_lately_finds_a_thread_idle, begin_two),
    };
    return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
