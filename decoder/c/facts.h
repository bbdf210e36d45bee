/* What a coded picture says of itself before it is decoded. */
#ifndef PICCHU_FACTS_H
#define PICCHU_FACTS_H

#include <stddef.h>

#define MAX_USES 16

struct picture_facts {
    int start;     /* decoding can begin here, and what is shown later is then right */
    int reference; /* other pictures may need it */
    int shown;     /* it is displayed */
    int layer;     /* temporal layer */
    int skipped;   /* cannot be decoded right after a start (HEVC's RASL pictures) */
    int recovers;  /* begins a gradual recovery: a key picture to some, no start */
    unsigned picture; /* its place in the order of coding */
    /* The pictures it can be predicted from, all of them; otherwise it is every reference since the start. */
    int uses_known, uses_count;
    unsigned uses[MAX_USES];
    /* Where the packet's only slice begins, and where its header ends; 0, 0 where that is not known. */
    size_t slice, header_end;
};

#endif
