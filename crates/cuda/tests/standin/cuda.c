// A stand-in for CUDA's driver, of what `cuda-digest` asks of it: a processor stands in for the card. Its memory is its
// own, and fenced: reading or writing a byte beside what was asked for ends the program. What is enqueued is done at
// once, but for writes that a test defers until somebody waits for their stream.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

typedef unsigned long long address;

enum { SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, NO_DEVICE = 100, INVALID_DEVICE, INVALID_CONTEXT = 201, NOT_FOUND = 500, LAUNCH_FAILED = 719 };

// What a test sets, and what it asks.
int standin_owner, standin_fail_launch, standin_fail_memory, standin_depth, standin_open;

struct { address at; size_t size, mapped; } held[4096];
int held_count;

#define PAGE 4096ul

// Ends right before a page that must not be touched. Begins at a multiple of 256, as the driver's does: the end is
// fenced to the byte for sizes that are multiples of 256, and else to less than 256.
int cuMemAlloc_v2(address *at, size_t size) {
    if (standin_fail_memory || held_count == 4096) return OUT_OF_MEMORY;
    size_t pages = (size + PAGE - 1) / PAGE * PAGE, mapped = pages + 2 * PAGE;
    char *all = mmap(0, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return OUT_OF_MEMORY;
    mprotect(all, PAGE, PROT_NONE);
    mprotect(all + PAGE + pages, PAGE, PROT_NONE);
    *at = (address)(all + PAGE + (pages - (size + 255) / 256 * 256));
    held[held_count].at = *at;
    held[held_count].size = size;
    held[held_count++].mapped = mapped;
    standin_open++;
    return SUCCESS;
}

int cuMemFree_v2(address at) {
    for (int i = 0; i < held_count; i++) {
        if (held[i].at == at) {
            munmap((void *)(at / PAGE * PAGE - PAGE), held[i].mapped);
            held[i] = held[--held_count];
            standin_open--;
            return SUCCESS;
        }
    }
    return INVALID_VALUE;
}

int cuMemGetAddressRange_v2(address *base, size_t *size, address at) {
    for (int i = 0; i < held_count; i++) {
        if (held[i].at <= at && at < held[i].at + held[i].size) {
            *base = held[i].at;
            *size = held[i].size;
            return SUCCESS;
        }
    }
    return NOT_FOUND;
}

int cuPointerGetAttribute(void *out, int attribute, address at) {
    (void)at;
    *(int *)out = standin_owner;
    return attribute == 9 ? SUCCESS : INVALID_VALUE;
}

int cuMemHostAlloc(void **at, size_t size, unsigned flags) { (void)flags; *at = malloc(size); standin_open++; return SUCCESS; }
int cuMemFreeHost(void *at) { free(at); standin_open--; return SUCCESS; }

int cuInit(unsigned flags) { (void)flags; return SUCCESS; }
int cuDeviceGetCount(int *count) { *count = 1; return SUCCESS; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal ? INVALID_DEVICE : SUCCESS; }
int cuDeviceGetName(char *name, int size, int device) { (void)device; strncpy(name, "a processor", size); return SUCCESS; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    // Capability 9.0.
    *value = attribute == 75 ? 9 : 0;
    return SUCCESS;
}

int context;
int cuDevicePrimaryCtxRetain(void **out, int device) { (void)device; *out = &context; standin_open++; return SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int device) { (void)device; standin_open--; return SUCCESS; }
int cuCtxPushCurrent_v2(void *given) { standin_depth++; return given == &context ? SUCCESS : INVALID_CONTEXT; }
int cuCtxPopCurrent_v2(void **out) { standin_depth--; *out = &context; return SUCCESS; }
int cuCtxSetCurrent(void *given) { return given == &context ? SUCCESS : INVALID_CONTEXT; }

// Streams and events are what they wait for: writes that a test deferred.
struct stream { void *to; const void *from; size_t size; } none;
struct event { struct stream *after; };

static struct stream *stream_of(struct stream *stream) { return stream ? stream : &none; }
static void run(struct stream *stream) {
    if (stream->size) memcpy(stream->to, stream->from, stream->size);
    stream->size = 0;
}

void standin_defer(struct stream *stream, address to, const void *from, size_t size) {
    *stream_of(stream) = (struct stream){(void *)to, from, size};
}

int cuStreamCreate(struct stream **stream, unsigned flags) { (void)flags; *stream = calloc(1, sizeof **stream); standin_open++; return SUCCESS; }
int cuStreamDestroy_v2(struct stream *stream) { free(stream); standin_open--; return SUCCESS; }
int cuStreamSynchronize(struct stream *stream) { run(stream_of(stream)); return SUCCESS; }
int cuEventCreate(struct event **event, unsigned flags) { (void)flags; *event = calloc(1, sizeof **event); standin_open++; return SUCCESS; }
int cuEventDestroy_v2(struct event *event) { free(event); standin_open--; return SUCCESS; }
int cuEventRecord(struct event *event, struct stream *stream) { event->after = stream_of(stream); return SUCCESS; }
int cuStreamWaitEvent(struct stream *stream, struct event *event, unsigned flags) {
    (void)stream; (void)flags;
    run(event->after);
    return SUCCESS;
}

int cuMemAllocAsync(address *at, size_t size, void *stream) { (void)stream; return cuMemAlloc_v2(at, size); }
int cuMemFreeAsync(address at, void *stream) { (void)stream; return cuMemFree_v2(at); }
int cuMemsetD8Async(address at, unsigned char value, size_t size, void *stream) { (void)stream; memset((void *)at, value, size); return SUCCESS; }
int cuMemcpyHtoD_v2(address to, const void *from, size_t size) { memcpy((void *)to, from, size); return SUCCESS; }
int cuMemcpyHtoDAsync_v2(address to, const void *from, size_t size, void *stream) { (void)stream; return cuMemcpyHtoD_v2(to, from, size); }
int cuMemcpyDtoHAsync_v2(void *to, address from, size_t size, void *stream) { (void)stream; memcpy(to, (void *)from, size); return SUCCESS; }

struct kernel { void (*code)(void *, void *); struct module *module; };
struct module { void *library; struct { unsigned x; } *thread, *block; struct kernel kernels[64]; int count; };

static ucontext_t scheduler, threads[256];
static int done[256], turn;
static struct kernel *running;
static void *arguments[2];

static void barrier(void) { swapcontext(&threads[turn], &scheduler); }
static void thread(void) {
    running->code(arguments[0], arguments[1]);
    done[turn] = 1;
}

static void begin(int at) {
    static char stacks[256][64 << 10];
    done[at] = 0;
    getcontext(&threads[at]);
    threads[at].uc_stack.ss_sp = stacks[at];
    threads[at].uc_stack.ss_size = sizeof stacks[at];
    threads[at].uc_link = &scheduler;
    makecontext(&threads[at], thread, 0);
}

int cuModuleLoadData(struct module **out, const void *image) {
    struct module *module = calloc(1, sizeof *module);
    module->library = dlopen(image, RTLD_NOW);
    if (!module->library) {
        fprintf(stderr, "%s\n", dlerror());
        free(module);
        return INVALID_VALUE;
    }
    module->thread = dlsym(module->library, "threadIdx");
    module->block = dlsym(module->library, "blockIdx");
    void (**wait)(void) = dlsym(module->library, "standin_barrier");
    *wait = barrier;
    *out = module;
    standin_open++;
    return SUCCESS;
}

int cuModuleUnload(struct module *module) { dlclose(module->library); free(module); standin_open--; return SUCCESS; }

int cuModuleGetFunction(struct kernel **kernel, struct module *module, const char *name) {
    *kernel = &module->kernels[module->count++];
    (*kernel)->module = module;
    (*kernel)->code = dlsym(module->library, name);
    return (*kernel)->code ? SUCCESS : NOT_FOUND;
}

int cuLaunchKernel(struct kernel *kernel, unsigned blocks, unsigned y, unsigned z, unsigned width, unsigned b, unsigned c,
                   unsigned shared, void *stream, void **given, void **extra) {
    (void)shared; (void)stream; (void)extra;
    if (standin_fail_launch) return LAUNCH_FAILED;
    if (y != 1 || z != 1 || width != 256 || b != 1 || c != 1) return INVALID_VALUE;
    running = kernel;
    arguments[0] = *(void **)given[0];
    arguments[1] = *(void **)given[1];
    for (unsigned block = 0; block < blocks; block++) {
        kernel->module->block->x = block;
        for (int at = 0; at < 256; at++) begin(at);
        for (int left = 256; left;) {
            for (turn = left = 0; turn < 256; turn++) {
                if (done[turn]) continue;
                kernel->module->thread->x = (unsigned)turn;
                swapcontext(&scheduler, &threads[turn]);
                left += !done[turn];
            }
        }
    }
    return SUCCESS;
}

int cuGetErrorString(int error, const char **text) {
    *text = error == OUT_OF_MEMORY ? "out of memory" : error == LAUNCH_FAILED ? "unspecified launch failure" : "another error";
    return SUCCESS;
}
int cuGetErrorName(int error, const char **text) { return cuGetErrorString(error, text); }
