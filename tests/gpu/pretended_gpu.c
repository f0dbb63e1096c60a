/* GPUs that are pretended: what PyTorch, Triton and ONNX Runtime call of CUDA, over ordinary memory.

   Memory is the host's and copies are made; kernels are counted and do nothing. So shapes, devices, synchronisations,
   copies, captures and launches are true, and values are not: only zeros come back, or with PRETENDED_RETURN=1 what was
   copied there, which processes need that exchange sizes through GPUs. conftest.py adds to this file whatever else those
   libraries import from CUDA, as functions that return 0.

   PRETENDED_GPUS, PRETENDED_CAPABILITY ("7.5") and PRETENDED_FREE (bytes) say what there is; with PRETENDED_OLD_DRIVER=1
   the driver answers, and CUDA's runtime finds it too old. */
#define _GNU_SOURCE
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define CUDA EXPORT cudaError_t
#define DRIVER EXPORT int

/* ---- What is counted; tests read it by name. ---- */

static struct {
    const char *name;
    _Atomic long value;
} counts[] = {{"launches"}, {"captured"}, {"synchronisations"}, {"to_host"}, {"to_device"},
              {"pageable"}, {"aside"}, {"stream_waits"}, {"captures"}, {"graph_launches"}};
enum { LAUNCHES, CAPTURED, SYNCHRONISATIONS, TO_HOST, TO_DEVICE, PAGEABLE, ASIDE, STREAM_WAITS, CAPTURES, GRAPH_LAUNCHES };

EXPORT long pretended_count(const char *name) {
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (!strcmp(counts[i].name, name)) return counts[i].value;
    return -1;
}

static void *new_handle(void) {
    static _Atomic long last = 1 << 20;
    return (void *)(last += 64);
}

static int nothing(void) { return 0; }

/* ---- Devices. ---- */

static _Thread_local int current_device;

static long setting(const char *name, long otherwise) { return getenv(name) ? atoll(getenv(name)) : otherwise; }
static int num_devices(void) { return (int)setting("PRETENDED_GPUS", 1); }
static long total_memory(void) { return 80L << 30; }
static long free_memory(void) { return setting("PRETENDED_FREE", 79L << 30); }
static int capability(int minor) {
    int version[2] = {9, 0};
    if (getenv("PRETENDED_CAPABILITY")) sscanf(getenv("PRETENDED_CAPABILITY"), "%d.%d", version, version + 1);
    return version[minor];
}

static int attribute(int which) { /* the runtime and the driver number them alike */
    switch (which) {
    case cudaDevAttrMaxThreadsPerBlock: return 1024;
    case cudaDevAttrMaxSharedMemoryPerBlock: return 48 << 10;
    case cudaDevAttrWarpSize: return 32;
    case cudaDevAttrMaxRegistersPerBlock: return 64 << 10;
    case cudaDevAttrClockRate: return 1980000;
    case cudaDevAttrMultiProcessorCount: return 132;
    case cudaDevAttrMemoryClockRate: return 2619000;
    case cudaDevAttrGlobalMemoryBusWidth: return 5120;
    case cudaDevAttrMaxThreadsPerMultiProcessor: return 2048;
    case cudaDevAttrComputeCapabilityMajor: return capability(0);
    case cudaDevAttrComputeCapabilityMinor: return capability(1);
    case cudaDevAttrMaxRegistersPerMultiprocessor: return 64 << 10;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: return 227 << 10;
    default: return 0;
    }
}

static cudaError_t driver(void) {
    return setting("PRETENDED_OLD_DRIVER", 0) ? cudaErrorInsufficientDriver : cudaSuccess;
}

CUDA cudaGetDeviceCount(int *count) { return *count = num_devices(), driver(); }
CUDA cudaGetDevice(int *device) { return *device = current_device, cudaSuccess; }
CUDA cudaSetDevice(int device) {
    if (device < 0 || device >= num_devices()) return cudaErrorInvalidDevice;
    return current_device = device, driver();
}
CUDA cudaDriverGetVersion(int *version) { return *version = 13020, cudaSuccess; }
CUDA cudaRuntimeGetVersion(int *version) { return *version = 13020, cudaSuccess; }
CUDA cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr which, int device) {
    return *value = attribute(which), cudaSuccess;
}
CUDA cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device) {
    memset(properties, 0, sizeof *properties);
    strcpy(properties->name, "Pretended GPU");
    properties->major = capability(0);
    properties->minor = capability(1);
    properties->totalGlobalMem = total_memory();
    properties->multiProcessorCount = attribute(cudaDevAttrMultiProcessorCount);
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    properties->maxThreadsPerMultiProcessor = 2048;
    properties->maxBlocksPerMultiProcessor = 32;
    properties->sharedMemPerBlock = 48 << 10;
    properties->sharedMemPerBlockOptin = 227 << 10;
    properties->sharedMemPerMultiprocessor = 228 << 10;
    properties->regsPerBlock = properties->regsPerMultiprocessor = 64 << 10;
    properties->l2CacheSize = 50 << 20;
    properties->maxGridSize[0] = 2147483647;
    properties->maxGridSize[1] = properties->maxGridSize[2] = 65535;
    properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = 1024;
    properties->maxThreadsDim[2] = 64;
    properties->unifiedAddressing = 1;
    properties->memoryBusWidth = 5120;
    return cudaSuccess;
}
CUDA cudaDeviceGetPCIBusId(char *text, int size, int device) {
    return snprintf(text, size, "0000:%02x:00.0", device), cudaSuccess;
}
CUDA cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { return *least = 0, *greatest = -5, cudaSuccess; }
CUDA cudaMemGetInfo(size_t *free, size_t *total) {
    return *free = free_memory(), *total = total_memory(), cudaSuccess;
}
EXPORT const char *cudaGetErrorString(cudaError_t error) { return "the pretended GPU refuses this"; }
EXPORT const char *cudaGetErrorName(cudaError_t error) { return "cudaErrorPretended"; }

/* ---- Memory. Page-locked memory is remembered: a copy from or to any other makes the host wait. ---- */

static struct {
    char *start, *end;
} locked[4096];
static int num_locked;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int is_locked(const void *memory) {
    int found = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < num_locked && !found; i++)
        found = locked[i].start <= (char *)memory && (char *)memory < locked[i].end;
    pthread_mutex_unlock(&lock);
    return found;
}

CUDA cudaMalloc(void **memory, size_t size) {
    *memory = aligned_alloc(512, (size + 511) / 512 * 512);
    if (!*memory) return cudaErrorMemoryAllocation;
    return memset(*memory, 0, size), cudaSuccess;
}
CUDA cudaMallocAsync(void **memory, size_t size, cudaStream_t stream) { return cudaMalloc(memory, size); }
CUDA cudaFree(void *memory) { return free(memory), cudaSuccess; }
CUDA cudaFreeAsync(void *memory, cudaStream_t stream) { return free(memory), cudaSuccess; }
CUDA cudaHostAlloc(void **memory, size_t size, unsigned flags) {
    cudaError_t error = cudaMalloc(memory, size);
    pthread_mutex_lock(&lock);
    if (!error && num_locked < (int)(sizeof locked / sizeof *locked)) {
        locked[num_locked].start = *memory;
        locked[num_locked++].end = (char *)*memory + size;
    }
    pthread_mutex_unlock(&lock);
    return error;
}
CUDA cudaMallocHost(void **memory, size_t size) { return cudaHostAlloc(memory, size, 0); }
CUDA cudaFreeHost(void *memory) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < num_locked; i++)
        if (locked[i].start == memory) locked[i--] = locked[--num_locked];
    pthread_mutex_unlock(&lock);
    return free(memory), cudaSuccess;
}
CUDA cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *memory) {
    memset(attributes, 0, sizeof *attributes);
    attributes->type = is_locked(memory) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
    return cudaSuccess;
}
CUDA cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t stream) {
    if (kind == cudaMemcpyDeviceToHost) counts[TO_HOST].value++, counts[PAGEABLE].value += !is_locked(to);
    if (kind == cudaMemcpyHostToDevice) counts[TO_DEVICE].value++, counts[PAGEABLE].value += !is_locked(from);
    if (kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToHost) counts[ASIDE].value += stream != NULL;
    /* What no kernel computed would be whatever the memory held before; zeros make every run alike. */
    if (kind == cudaMemcpyDeviceToHost && !setting("PRETENDED_RETURN", 0)) return memset(to, 0, size), cudaSuccess;
    return memmove(to, from, size), cudaSuccess;
}
CUDA cudaMemcpy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind) {
    counts[SYNCHRONISATIONS].value++;
    return cudaMemcpyAsync(to, from, size, kind, 0);
}
CUDA cudaMemsetAsync(void *memory, int value, size_t size, cudaStream_t stream) {
    return memset(memory, value, size), cudaSuccess;
}
CUDA cudaMemset(void *memory, int value, size_t size) { return memset(memory, value, size), cudaSuccess; }

/* ---- Streams, events and graphs: one capture at a time, and nobody may wait for the stream that is captured. ---- */

static struct {
    int active;
    unsigned long long number;
    cudaStream_t stream;
} capture;

static int captured(cudaStream_t stream) { return capture.active && capture.stream == stream; }

CUDA cudaStreamCreate(cudaStream_t *stream) { return *stream = new_handle(), cudaSuccess; }
CUDA cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) { return cudaStreamCreate(stream); }
CUDA cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority) {
    return cudaStreamCreate(stream);
}
CUDA cudaStreamGetPriority(cudaStream_t stream, int *priority) { return *priority = 0, cudaSuccess; }
CUDA cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) { return *event = new_handle(), cudaSuccess; }
CUDA cudaEventCreate(cudaEvent_t *event) { return *event = new_handle(), cudaSuccess; }
CUDA cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to) { return *ms = 1, cudaSuccess; }

CUDA cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    return counts[STREAM_WAITS].value++, cudaSuccess;
}

static cudaError_t synchronise(int forbidden) {
    counts[SYNCHRONISATIONS].value++;
    return forbidden ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
CUDA cudaStreamSynchronize(cudaStream_t stream) { return synchronise(captured(stream)); }
CUDA cudaDeviceSynchronize(void) { return synchronise(capture.active); }
CUDA cudaEventSynchronize(cudaEvent_t event) { return synchronise(0); }

CUDA cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
    return *status = captured(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone, cudaSuccess;
}
CUDA cudaStreamGetCaptureInfo(cudaStream_t stream, enum cudaStreamCaptureStatus *status, unsigned long long *number,
                              cudaGraph_t *graph, const cudaGraphNode_t **nodes, const cudaGraphEdgeData **edges,
                              size_t *count) {
    if (number) *number = capture.number;
    if (graph) *graph = (cudaGraph_t)&capture;
    if (nodes) *nodes = NULL;
    if (edges) *edges = NULL;
    if (count) *count = 0;
    return cudaStreamIsCapturing(stream, status);
}
CUDA cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    if (capture.active) return cudaErrorIllegalState;
    capture.active = 1, capture.number++, capture.stream = stream;
    return counts[CAPTURES].value++, cudaSuccess;
}
CUDA cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    if (!captured(stream)) return cudaErrorIllegalState;
    return capture.active = 0, *graph = new_handle(), cudaSuccess;
}
CUDA cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) {
    static _Thread_local enum cudaStreamCaptureMode now = cudaStreamCaptureModeGlobal;
    enum cudaStreamCaptureMode before = now;
    return now = *mode, *mode = before, cudaSuccess;
}
CUDA cudaGraphInstantiate(cudaGraphExec_t *ready, cudaGraph_t graph, unsigned long long flags) {
    return *ready = new_handle(), cudaSuccess;
}
CUDA cudaGraphInstantiateWithFlags(cudaGraphExec_t *ready, cudaGraph_t graph, unsigned long long flags) {
    return *ready = new_handle(), cudaSuccess;
}
CUDA cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    return counts[GRAPH_LAUNCHES].value++, cudaSuccess;
}
CUDA cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) { return *count = 1, cudaSuccess; }

/* ---- Kernels. ---- */

static int launch(void *stream) { return counts[captured(stream) ? CAPTURED : LAUNCHES].value++, cudaSuccess; }

CUDA cudaLaunchKernel(const void *kernel, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream) {
    return launch(stream);
}
CUDA __cudaLaunchKernel(void *kernel, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream) {
    return launch(stream);
}
CUDA cudaLaunchKernelExC(const cudaLaunchConfig_t *how, const void *kernel, void **arguments) {
    return launch(how->stream);
}
CUDA __cudaGetKernel(void **kernel, const void *function) { return *kernel = (void *)function, cudaSuccess; }
CUDA cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *kernel) {
    memset(attributes, 0, sizeof *attributes);
    attributes->maxThreadsPerBlock = 1024;
    attributes->numRegs = 32;
    attributes->binaryVersion = attributes->ptxVersion = 10 * capability(0) + capability(1);
    return cudaSuccess;
}
CUDA cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *count, const void *kernel, int block, size_t shared) {
    return *count = 2, cudaSuccess;
}
CUDA cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *count, const void *kernel, int block, size_t shared,
                                                            unsigned flags) {
    return *count = 2, cudaSuccess;
}
CUDA cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version, unsigned long long flags,
                                      enum cudaDriverEntryPointQueryResult *result) {
    *function = dlsym(RTLD_DEFAULT, name);
    if (!*function) *function = nothing;
    if (result) *result = cudaDriverEntryPointSuccess;
    return cudaSuccess;
}

/* ---- cuBLAS and cuDNN: a handle, and nothing behind it. ---- */

EXPORT int cublasCreate_v2(void **handle) { return *handle = new_handle(), 0; }
EXPORT int cublasLtCreate(void **handle) { return *handle = new_handle(), 0; }
EXPORT int cublasGetPointerMode_v2(void *handle, int *mode) { return *mode = 0; }
EXPORT int cublasGetMathMode(void *handle, int *mode) { return *mode = 0; }
EXPORT int cudnnCreate(void **handle) { return *handle = new_handle(), 0; }

/* ---- The driver, which Triton calls; handles are pointers. ---- */

DRIVER cuInit(unsigned flags) { return 0; }
DRIVER cuDriverGetVersion(int *version) { return cudaDriverGetVersion(version); }
DRIVER cuDeviceGet(int *device, int number) { return *device = number, 0; }
DRIVER cuDeviceGetCount(int *count) { return *count = num_devices(), 0; }
DRIVER cuDeviceGetName(char *name, int size, int device) { return snprintf(name, size, "Pretended GPU"), 0; }
DRIVER cuDeviceGetAttribute(int *value, int which, int device) { return *value = attribute(which), 0; }
DRIVER cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { return *flags = 0, *active = 1, 0; }
DRIVER cuDevicePrimaryCtxRetain(void **context, int device) { return *context = &capture, 0; }
DRIVER cuCtxGetCurrent(void **context) { return *context = &capture, 0; }
DRIVER cuCtxSetCurrent(void *context) { return 0; }
DRIVER cuCtxGetDevice(int *device) { return cudaGetDevice(device); }
DRIVER cuCtxSetLimit(int limit, size_t value) { return 0; }
DRIVER cuCtxGetLimit(size_t *value, int limit) { return *value = 0, 0; }
DRIVER cuModuleLoad(void **module, const char *path) { return *module = new_handle(), 0; }
DRIVER cuModuleLoadData(void **module, const void *image) { return *module = new_handle(), 0; }
DRIVER cuModuleUnload(void *module) { return 0; }
DRIVER cuModuleGetFunction(void **function, void *module, const char *name) { return *function = new_handle(), 0; }
DRIVER cuFuncGetAttribute(int *value, int which, void *function) { return *value = which ? 0 : 1024, 0; }
DRIVER cuFuncSetAttribute(void *function, int which, int value) { return 0; }
DRIVER cuFuncSetCacheConfig(void *function, int config) { return 0; }
DRIVER cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned shared, void *stream, void **arguments, void **extra) {
    return launch(stream);
}
struct driver_launch { /* CUlaunchConfig up to the stream */
    unsigned grid[3], block[3], shared;
    void *stream;
};
DRIVER cuLaunchKernelEx(const struct driver_launch *how, void *function, void **arguments, void **extra) {
    return launch(how->stream);
}
DRIVER cuOccupancyMaxActiveClusters(int *count, void *function, const void *how) { return *count = 1, 0; }
DRIVER cuPointerGetAttribute(void *data, int which, unsigned long long memory) {
    if (which == 3) *(unsigned long long *)data = memory; /* the device's address of it */
    else *(int *)data = 2; /* memory of a device */
    return 0;
}
DRIVER cuStreamIsCapturing(void *stream, int *status) { return *status = captured(stream), 0; }
DRIVER cuGetErrorString(int error, const char **text) { return *text = cudaGetErrorString(error), 0; }
DRIVER cuGetErrorName(int error, const char **text) { return *text = cudaGetErrorName(error), 0; }
