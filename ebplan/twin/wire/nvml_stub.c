/* A stand-in for libnvidia-ml.so.1: GPUs that live in a file which several processes map.
 *
 * Power follows its target, the least of demand, clock and enforced limit, with a time constant;
 * energy is its exact integral. The layout is repeated in nvml_stub.py. Errors and delays are
 * injected per GPU and per call. Times are CLOCK_MONOTONIC seconds; limits are mW as in NVML.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define GPUS 16
#define CALLS 24
#define SEGMENTS 64
#define EVENTS 1024
#define MAGIC 0x6e766d6cu

enum call {
    GET_UUID, GET_NAME, POWER_USAGE, ENERGY, GET_LIMIT, CONSTRAINTS, DEFAULT_LIMIT, ENFORCED,
    SET_LIMIT, SET_LIMIT_V2, FIELDS, LOCK_CLOCKS, RESET_CLOCKS, CLOCK_INFO, MAX_CLOCK,
    SUPPORTED_CLOCKS, REASONS, HANDLE, INSTANT, REQUESTED
};

typedef struct { double from_s, power_w, target_w, energy_j; } segment_t;
typedef struct {
    char uuid[48], name[64];
    double demand_w, idle_w, tau_s;
    uint32_t requested_mw, others_mw, default_mw, least_mw, most_mw;
    uint32_t clock_low, clock_high, clock_least, clock_most;
    uint32_t ignores_writes, segments, privileged, driven;
    segment_t segment[SEGMENTS];
    double delay_s[CALLS];
    int32_t error[CALLS], error_left[CALLS];
    uint32_t calls[CALLS];
} gpu_t;
typedef struct { double at_s; uint32_t gpu, mw; } event_t;
typedef struct {
    uint32_t magic, count, order[GPUS];
    int32_t init_error;
    uint32_t events;
    event_t event[EVENTS];
    gpu_t gpu[GPUS];
} state_t;

static state_t *state;
static int file = -1;
static pthread_mutex_t in_process = PTHREAD_MUTEX_INITIALIZER;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* flock goes with a process that is killed; threads of one process share it, hence the mutex. */
static void lock(void) { pthread_mutex_lock(&in_process); flock(file, LOCK_EX); }
static void unlock(void) { flock(file, LOCK_UN); pthread_mutex_unlock(&in_process); }

static uint32_t enforced_mw(const gpu_t *g) {
    return g->others_mw && g->others_mw < g->requested_mw ? g->others_mw : g->requested_mw;
}

static uint32_t clock_mhz(const gpu_t *g) {
    if (g->demand_w <= g->idle_w) return g->clock_low ? g->clock_low : g->clock_least;
    return g->clock_high ? g->clock_high : g->clock_most;
}

static double target_w(const gpu_t *g) {
    if (g->driven) return g->demand_w; /* a plant works its power out */
    double share = (double)clock_mhz(g) / (double)g->clock_most;
    double wanted = g->demand_w > g->idle_w ? g->idle_w + (g->demand_w - g->idle_w) * share : g->idle_w;
    return fmin(wanted, 1e-3 * enforced_mw(g));
}

static double power_of(const segment_t *s, double tau, double t) {
    if (tau <= 0.0) return s->target_w;
    return s->target_w + (s->power_w - s->target_w) * exp(-(t - s->from_s) / tau);
}

static double energy_of(const segment_t *s, double tau, double t) {
    double dt = t - s->from_s;
    if (tau <= 0.0) return s->energy_j + s->target_w * dt;
    return s->energy_j + s->target_w * dt + (s->power_w - s->target_w) * tau * (1.0 - exp(-dt / tau));
}

static const segment_t *segment_at(const gpu_t *g, double t) {
    uint32_t last = g->segments - 1, first = g->segments > SEGMENTS ? g->segments - SEGMENTS : 0;
    while (last > first && g->segment[last % SEGMENTS].from_s > t) last--;
    return &g->segment[last % SEGMENTS];
}

/* Begin a new piece of the response where the target has moved. */
static void follow(gpu_t *g, double t) {
    double target = target_w(g);
    segment_t next = {t, target, target, 0.0};
    if (g->segments) {
        const segment_t *s = segment_at(g, t);
        if (s->target_w == target) return;
        next.power_w = power_of(s, g->tau_s, t);
        next.energy_j = energy_of(s, g->tau_s, t);
    }
    g->segment[g->segments++ % SEGMENTS] = next;
}

static double energy_j(const gpu_t *g, double t) { return energy_of(segment_at(g, t), g->tau_s, t); }
static uint32_t instant_mw(const gpu_t *g, double t) { return (uint32_t)(1e3 * power_of(segment_at(g, t), g->tau_s, t)); }

static uint32_t average_mw(const gpu_t *g, double t) {
    const segment_t *first = &g->segment[g->segments > SEGMENTS ? g->segments % SEGMENTS : 0];
    double from = fmax(t - 1.0, first->from_s);
    if (t - from < 1e-6) return instant_mw(g, t);
    return (uint32_t)(1e3 * (energy_j(g, t) - energy_j(g, from)) / (t - from));
}

/* Count the call, wait its delay (which a test may end at any time) and fail if told to. */
static int enter(gpu_t *g, enum call call) {
    if (!state) return 1;
    if (g < state->gpu || g >= state->gpu + GPUS) return 2;
    double began = now_s();
    __atomic_add_fetch(&g->calls[call], 1, __ATOMIC_SEQ_CST);
    double left;
    while ((left = began + *(volatile double *)&g->delay_s[call] - now_s()) > 0.0)
        usleep(left > 0.01 ? 10000 : (useconds_t)(1e6 * left) + 1);
    int error = 0;
    lock();
    if (g->error[call] && g->error_left[call]) {
        error = g->error[call];
        if (g->error_left[call] > 0) g->error_left[call]--;
    }
    follow(g, now_s());
    unlock();
    return error;
}

static int may_write(const gpu_t *g) {
    const char *rights = getenv("EBPLAN_NVML_STUB_RIGHTS");
    return g->privileged && !(rights && !strcmp(rights, "none"));
}

#define ENTER(g, call) do { int e = enter(g, call); if (e) return e; } while (0)

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    const char *path = getenv("EBPLAN_NVML_STUB");
    if (!path) return 9;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return 9;
    state_t *mapped = mmap(NULL, sizeof(state_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED || mapped->magic != MAGIC) { close(fd); return 999; }
    if (mapped->init_error) { int e = mapped->init_error; close(fd); return e; }
    /* what was mapped before stays: a call that hangs may still look at it */
    pthread_mutex_lock(&in_process);
    if (file >= 0) close(file);
    file = fd;
    state = mapped;
    pthread_mutex_unlock(&in_process);
    return 0;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { (void)code; return "injected"; }
int nvmlSystemGetDriverVersion(char *text, unsigned n) { snprintf(text, n, "stub"); return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { if (!state) return 1; *n = state->count; return 0; }

int nvmlDeviceGetHandleByIndex_v2(unsigned i, gpu_t **g) {
    if (!state) return 1;
    if (i >= state->count) return 2;
    gpu_t *found = &state->gpu[state->order[i]];
    ENTER(found, HANDLE);
    *g = found;
    return 0;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, gpu_t **g) {
    if (!state) return 1;
    for (unsigned i = 0; i < state->count; i++) {
        gpu_t *found = &state->gpu[state->order[i]];
        if (strcmp(found->uuid, uuid)) continue;
        ENTER(found, HANDLE);
        *g = found;
        return 0;
    }
    return 6;
}
int nvmlDeviceGetUUID(gpu_t *g, char *text, unsigned n) { ENTER(g, GET_UUID); snprintf(text, n, "%s", g->uuid); return 0; }
int nvmlDeviceGetName(gpu_t *g, char *text, unsigned n) { ENTER(g, GET_NAME); snprintf(text, n, "%s", g->name); return 0; }

int nvmlDeviceGetPowerUsage(gpu_t *g, unsigned *mw) {
    ENTER(g, POWER_USAGE);
    lock(); *mw = average_mw(g, now_s()); unlock();
    return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(gpu_t *g, unsigned long long *mj) {
    ENTER(g, ENERGY);
    lock(); *mj = (unsigned long long)(1e3 * energy_j(g, now_s())); unlock();
    return 0;
}
int nvmlDeviceGetPowerManagementLimit(gpu_t *g, unsigned *mw) { ENTER(g, GET_LIMIT); *mw = g->requested_mw; return 0; }
int nvmlDeviceGetPowerManagementDefaultLimit(gpu_t *g, unsigned *mw) { ENTER(g, DEFAULT_LIMIT); *mw = g->default_mw; return 0; }
int nvmlDeviceGetEnforcedPowerLimit(gpu_t *g, unsigned *mw) { ENTER(g, ENFORCED); *mw = enforced_mw(g); return 0; }
int nvmlDeviceGetPowerManagementLimitConstraints(gpu_t *g, unsigned *least, unsigned *most) {
    ENTER(g, CONSTRAINTS);
    *least = g->least_mw; *most = g->most_mw;
    return 0;
}

static int set_limit(gpu_t *g, unsigned mw) {
    if (!may_write(g)) return 4;
    if (mw < g->least_mw || mw > g->most_mw) return 2;
    if (g->ignores_writes) return 0;
    lock();
    double t = now_s();
    g->requested_mw = mw;
    follow(g, t);
    state->event[state->events % EVENTS] = (event_t){t, (uint32_t)(g - state->gpu), mw};
    state->events++;
    unlock();
    return 0;
}
int nvmlDeviceSetPowerManagementLimit(gpu_t *g, unsigned mw) { ENTER(g, SET_LIMIT); return set_limit(g, mw); }
int nvmlDeviceSetPowerManagementLimit_v2(gpu_t *g, const unsigned *version_scope_mw) {
    ENTER(g, SET_LIMIT_V2);
    return set_limit(g, version_scope_mw[2]);
}

typedef struct {
    uint32_t field, scope;
    int64_t timestamp, latency_us;
    uint32_t type;
    int32_t result;
    union { double d; unsigned u; unsigned long long ull; } value;
} field_t;
int nvmlDeviceGetFieldValues(gpu_t *g, int n, field_t *values) {
    ENTER(g, FIELDS);
    for (int i = 0; i < n; i++) {
        field_t *v = &values[i];
        v->type = 1;
        v->value.ull = 0;
        if (v->field == 186) {
            v->result = enter(g, INSTANT);
            if (!v->result) { lock(); v->value.u = instant_mw(g, now_s()); unlock(); }
        } else if (v->field == 185) {
            v->result = 0;
            lock(); v->value.u = average_mw(g, now_s()); unlock();
        } else if (v->field == 190 || v->field == 192) {
            v->result = enter(g, REQUESTED);
            v->value.u = v->field == 192 ? g->requested_mw : enforced_mw(g);
        } else v->result = 3;
    }
    return 0;
}

int nvmlDeviceSetGpuLockedClocks(gpu_t *g, unsigned low, unsigned high) {
    ENTER(g, LOCK_CLOCKS);
    if (!may_write(g)) return 4;
    if (low > high || high < g->clock_least || low > g->clock_most) return 2;
    if (g->ignores_writes) return 0;
    lock(); g->clock_low = low; g->clock_high = high; follow(g, now_s()); unlock();
    return 0;
}
int nvmlDeviceResetGpuLockedClocks(gpu_t *g) {
    ENTER(g, RESET_CLOCKS);
    if (!may_write(g)) return 4;
    lock(); g->clock_low = g->clock_high = 0; follow(g, now_s()); unlock();
    return 0;
}
int nvmlDeviceGetClockInfo(gpu_t *g, int type, unsigned *mhz) { (void)type; ENTER(g, CLOCK_INFO); *mhz = clock_mhz(g); return 0; }
int nvmlDeviceGetMaxClockInfo(gpu_t *g, int type, unsigned *mhz) { (void)type; ENTER(g, MAX_CLOCK); *mhz = g->clock_most; return 0; }
int nvmlDeviceGetSupportedMemoryClocks(gpu_t *g, unsigned *n, unsigned *mhz) {
    ENTER(g, SUPPORTED_CLOCKS);
    unsigned room = *n;
    *n = 1;
    if (room < 1 || !mhz) return 7;
    mhz[0] = 3201;
    return 0;
}
int nvmlDeviceGetSupportedGraphicsClocks(gpu_t *g, unsigned memory, unsigned *n, unsigned *mhz) {
    (void)memory;
    ENTER(g, SUPPORTED_CLOCKS);
    unsigned room = *n, count = (g->clock_most - g->clock_least) / 15 + 1;
    *n = count;
    if (room < count || !mhz) return 7;
    for (unsigned i = 0; i < count; i++) mhz[i] = g->clock_most - 15 * i;
    return 0;
}
int nvmlDeviceGetCurrentClocksEventReasons(gpu_t *g, unsigned long long *reasons) {
    ENTER(g, REASONS);
    *reasons = target_w(g) >= 1e-3 * enforced_mw(g) ? 4ull : 0ull;
    return 0;
}
