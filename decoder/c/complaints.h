/* FFmpeg's complaints: the last one gives the reason of a gap, their number tells whether something was wrong. */
#ifndef PICCHU_COMPLAINTS_H
#define PICCHU_COMPLAINTS_H

void complaints_install(void);
const char *complaints_last(void);
/* How many there were on this thread. */
unsigned complaints_counted(void);

#endif
