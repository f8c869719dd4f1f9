/*
 * dump_record - one line of a dump, judged and given to the digest. For common/dump alone.
 */
#ifndef KPC_DUMP_RECORD_H
#define KPC_DUMP_RECORD_H

#include "common/kdb/dump.h"

/* The most bytes that one field in hexadecimal stands for. */
#define DUMP_OCTETS_MAX 65535

/* Room for a name in a message. */
#define DUMP_NAME_SHOWN 300

struct dump_record {
    struct digest *digest; /* takes the record if it is good; or NULL */
    unsigned char *octets; /* room for DUMP_OCTETS_MAX bytes */
    enum dump_format format;
    unsigned int version;
    uint64_t line; /* its number, for messages */
    /* set by dump_record_decode: */
    bool policy;
    const char *name; /* inside the line */
    size_t name_len;
};

/*
 * Decode LEN bytes of LINE (without newline). False with ERR as dump_feed says; the digest then
 * must not be used any more.
 */
bool dump_record_decode(struct dump_record *record, const char *line, size_t len,
                        struct error *err);

/* "principal NAME" or "policy NAME" of a line that may be cut, made printable; or "". */
void dump_record_name(const char *line, size_t len, char *text, size_t size);

#endif
