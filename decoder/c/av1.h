/* What a packet of AV1 says of its picture. */
#ifndef PICCHU_AV1_H
#define PICCHU_AV1_H

#include <stddef.h>
#include <stdint.h>

#include "pictures.h"

/* Takes a sequence header from `data`, a row of open bitstream units, if there is one. Returns -1 when it makes no
 * sense or is of a kind the plan is not proven for. */
int av1_configure(struct av1_sequence *sequence, const uint8_t *data, size_t size);

/* As picture_facts: one temporal unit, which shows one picture. */
int av1_facts(struct av1_sequence *sequence, const uint8_t *data, size_t size, struct picture_facts *facts);

#endif
