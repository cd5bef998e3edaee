/* Time. Everything that decides something takes a time as an argument; these are the only places that read it. */
#ifndef HOLDFAST_BASE_CLOCK_H
#define HOLDFAST_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL

/* CLOCK_MONOTONIC in nanoseconds: the same for all processes of a boot, goes on across a worker's death. */
uint64_t clock_monotonic_ns(void);
/* CLOCK_REALTIME in nanoseconds since 1970. */
uint64_t clock_wall_ns(void);

#define CLOCK_HTTP_DATE_SIZE 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL */
/* Writes an IMF-fixdate (RFC 9110 section 5.6.7) for seconds since 1970, years 1970 to 9999. */
void clock_http_date(int64_t seconds, char out[CLOCK_HTTP_DATE_SIZE]);

#define CLOCK_ISO_SIZE 32 /* "2026-01-31T23:59:59.123456Z" and a NUL */
/* Writes RFC 3339 in UTC with microseconds for nanoseconds since 1970. */
void clock_iso(uint64_t wall_ns, char out[CLOCK_ISO_SIZE]);

#endif
