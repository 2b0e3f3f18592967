/* What an agent's card has promised to keep, noted in the ledger: which readings were in a commit
 * that returned, and how long its writer had been at work when the agent died.
 *
 * Seen where the buffer's writer meets its store (card.c), so a row counts as kept from the moment
 * at which the programs take it for kept, and no earlier. */
#ifndef VIGIA_SIM_CARD_H
#define VIGIA_SIM_CARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_OPEN_MAX 8192 /* rows of one transaction: both rings hold fewer */

struct sim_card {
    struct {
        uint32_t sensor, said;
    } open[SIM_OPEN_MAX]; /* inserted by the running transaction */
    size_t open_count;
    bool committing;
    int64_t begun;                  /* of the running commit */
    int64_t last_begun, last_ended; /* of the one before; -1: none in this life */
};

/* An agent begins to run. */
void sim_card_begin(struct sim_card *c);
/* The agent dies now: what was said before this moment has been committed, if whatever is said
 * waits `group_ns` at most for the writer. */
int64_t sim_card_owed(const struct sim_card *c, int64_t group_ns);

#endif
