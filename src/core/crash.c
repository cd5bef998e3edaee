#include "core/crash.h"

#include "base/bytes.h"
#include "base/process.h"

#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALTERNATE_STACK_SIZE (64u * 1024u)
#define FRAMES_MAX 48

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
static struct arena_core *crash_core;
static struct arena_page *crash_page;
static _Thread_local unsigned crash_thread_number;

/* Symbols are not looked up: that allocates. An address within the executable is written relative to its start, as
 * addr2line(1) wants it. */
static void write_frames(struct arena_crash *crash)
{
    extern const char __executable_start[], etext[];
    void *frames[FRAMES_MAX];
    int count = backtrace(frames, FRAMES_MAX);
    struct text text;

    text_init(&text, crash->text, sizeof crash->text);
    for (int i = 0; i < count; i++) {
        uintptr_t at = (uintptr_t)frames[i], start = (uintptr_t)__executable_start;

        if (at >= start && at < (uintptr_t)etext)
            text_add_f(&text, "%sholdfast+0x%lx", i ? " " : "", (unsigned long)(at - start));
        else
            text_add_f(&text, "%s0x%lx", i ? " " : "", (unsigned long)at);
    }
    crash->text_length = (uint32_t)text.length;
}

static void crash_handler(int number, siginfo_t *info, void *context)
{
    struct arena_crash *crash = &crash_core->crash;
    unsigned expected = 0;

    (void)context;
    /* The first of several crashing threads is the one that tells. */
    if (atomic_compare_exchange_strong(&crash->valid, &expected, ARENA_CRASH_WRITING)) {
        crash->signal = number;
        crash->thread = (int32_t)crash_thread_number;
        crash->from_outside = info->si_code <= 0 && info->si_pid != getpid();
        crash->address = info->si_code > 0 ? (uint64_t)(uintptr_t)info->si_addr : 0;
        crash->text_length = 0;
        atomic_store(&crash->valid, ARENA_CRASH_NAMED);
        write_frames(crash);
        atomic_store(&crash->valid, ARENA_CRASH_COMPLETE);
        if (getppid() == crash_page->keeper_pid)
            (void)kill(getppid(), SIGUSR1);
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

int crash_init(struct arena_core *core, struct arena_page *page)
{
    struct sigaction action = {.sa_sigaction = crash_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    void *frames[2];

    crash_core = core;
    crash_page = page;
    core->crash.valid = ARENA_CRASH_NONE;
    (void)backtrace(frames, 2);
    crash_thread(0);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof crash_signals / sizeof *crash_signals; i++)
        if (sigaction(crash_signals[i], &action, NULL))
            return ERR_INVALID;
    return 0;
}

void crash_thread(unsigned thread)
{
    stack_t stack = {.ss_size = ALTERNATE_STACK_SIZE};

    crash_thread_number = thread;
    stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp != MAP_FAILED)
        (void)sigaltstack(&stack, NULL); /* as long as the thread lives */
}

void crash_fini(void)
{
    for (size_t i = 0; i < sizeof crash_signals / sizeof *crash_signals; i++)
        (void)signal(crash_signals[i], SIG_DFL);
}
