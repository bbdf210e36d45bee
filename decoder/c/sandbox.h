/* What this process may still do once it has started. */
#ifndef PICCHU_SANDBOX_H
#define PICCHU_SANDBOX_H

#include "request.h"

/* Limits on memory, processor time, files; on Linux also a list of permitted system calls. */
void sandbox_enter(const struct request *request);

#endif
