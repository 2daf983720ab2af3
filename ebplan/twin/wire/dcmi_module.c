/* DCMI power management for ipmi_sim, which has none of its own: readings and limits that live in a
 * file the test maps as well. The layout is repeated in ipmi_sim.py.
 *
 * Sources: DCMI 1.5, chapter 6.6. The group byte (0xdc) is left in by ipmi_sim, both ways.
 */
#include <OpenIPMI/mcserv.h>
#include <OpenIPMI/serv.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GROUP 0xdc
#define GET_READING 2
#define GET_LIMIT 3
#define SET_LIMIT 4
#define ACTIVATE_LIMIT 5
#define NO_LIMIT 0x80
#define INVALID_COMMAND 0xc1

struct state {
    uint32_t watts, low, high, mean, window_ms; /* what a reading says */
    uint32_t active;                            /* whether it measures */
    uint32_t code;                              /* completion code of readings */
    uint32_t cut;                               /* bytes of an answer that are left off */
    uint32_t group;                             /* group byte of answers */
    uint32_t delay_ms;                          /* until it answers */
    uint32_t limit_w, limit_on;                 /* power limit */
    uint32_t readings;                          /* readings asked for so far */
};

static volatile struct state *state;

static unsigned int put(unsigned char *to, uint32_t value, unsigned int bytes)
{
    for (unsigned int i = 0; i < bytes; i++)
        to[i] = (unsigned char)(value >> (8 * i));
    return bytes;
}

static unsigned int reading(unsigned char *out)
{
    unsigned int n = 0;
    n += put(out + n, state->watts, 2);
    n += put(out + n, state->low, 2);
    n += put(out + n, state->high, 2);
    n += put(out + n, state->mean, 2);
    n += put(out + n, 0, 4);
    n += put(out + n, state->window_ms, 4);
    out[n++] = state->active ? 0x40 : 0;
    return n;
}

static unsigned int limit(unsigned char *out)
{
    unsigned int n = put(out, 0, 3);
    n += put(out + n, state->limit_w, 2);
    n += put(out + n, 1000, 4);
    n += put(out + n, 0, 2);
    return n + put(out + n, 1, 2);
}

static void handle(lmc_data_t *mc, msg_t *msg, unsigned char *out, unsigned int *length, void *data)
{
    unsigned int n = 2;
    (void)mc;
    (void)data;
    out[0] = 0;
    out[1] = (unsigned char)state->group;
    if (state->delay_ms)
        usleep(state->delay_ms * 1000);
    switch (msg->cmd) {
    case GET_READING:
        state->readings++;
        out[0] = (unsigned char)state->code;
        n += reading(out + n);
        break;
    case GET_LIMIT:
        out[0] = state->limit_on ? 0 : NO_LIMIT;
        n += limit(out + n);
        break;
    case SET_LIMIT:
        if (msg->len >= 7)
            state->limit_w = msg->data[5] | (uint32_t)msg->data[6] << 8;
        break;
    case ACTIVATE_LIMIT:
        if (msg->len >= 2)
            state->limit_on = msg->data[1];
        break;
    default:
        out[0] = INVALID_COMMAND;
    }
    if (out[0] && msg->cmd == GET_READING)
        n = 2;
    *length = n > state->cut + 1 ? n - state->cut : 1;
}

int ipmi_sim_module_print_version(sys_data_t *sys, char *options)
{
    (void)sys;
    (void)options;
    printf("ebplan DCMI 1\n");
    return 0;
}

int ipmi_sim_module_init(sys_data_t *sys, const char *options)
{
    int file = open(options, O_RDWR);
    (void)sys;
    if (file < 0)
        return 1;
    state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (state == MAP_FAILED)
        return 1;
    ipmi_emu_register_group_extension_handler(GROUP, handle, NULL);
    return 0;
}
