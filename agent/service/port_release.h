/*
 * port_release - let go of portreserve's reservation of a port, and prove it; and keep it that way.
 */
#ifndef KPC_AGENT_PORT_RELEASE_H
#define KPC_AGENT_PORT_RELEASE_H

#include "common/port/ports.h"

struct port_release {
    bool released;   /* something was: false if the port was usable from the start */
    char name[256];  /* of the file that was released */
    char lost[256];  /* other reservations that are gone since ("749/tcp"), "" if none */
    char taken[256]; /* who held it in between, "" if nobody did */
};

/*
 * Release the reservation of SPEC's port, if portreserve holds it, by the name of the file that
 * makes it, and wait until the port has been seen free. What somebody else takes in between is
 * waited for, for some seconds. REPORT (freed by the caller) is how the port was found last, also
 * on failure, or NULL. Errors: ERROR_REFUSED: the holder is no reservation (it is named, and not
 * touched); ERROR_FAILED: portreserve cannot be asked, or does not let go.
 */
bool port_release(const struct port_spec *spec, const struct ports_options *options,
                  struct port_release *result, struct port_report **report, struct error *err);

/*
 * kpropd was started on PORT and does not listen: has somebody taken the port meanwhile? True if it
 * is worth another try, since a reservation that came back was released, or whoever it was has let
 * go within some seconds. Otherwise false, and ERR names the holder if there is one; else it is
 * left alone.
 */
bool port_release_retry(int port, const struct ports_options *options, struct error *err);

/*
 * Release for the start of kpropd's own service, which may see little of the system: for each file
 * that names the port send the release, until the port can be bound. Takes no lock, says nothing,
 * and does nothing if the port can be bound already.
 */
bool port_release_at_start(const struct port_spec *spec, const struct ports_options *options,
                           struct error *err);

/*
 * The drop-in that does so at every start of kpropd's UNIT: its path below /etc/systemd/system into
 * PATH, its text into TEXT.
 */
void port_release_drop_in(const char *unit, const struct port_spec *spec, const char *name,
                          char *path, size_t path_size, char *text, size_t text_size);

/* What to add to the init script of a host without systemd, for people. */
void port_release_init_advice(const char *name, char *text, size_t size);

#endif
