/* The binding: what a worker of this program serves, and how its settings are read. */
#ifndef HOLDFAST_MAIN_SERVICE_H
#define HOLDFAST_MAIN_SERVICE_H

#include "core/worker.h"

extern const struct service holdfast_service;

#endif
