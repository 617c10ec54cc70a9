/* What `apply` would do, as the aggregate's schema Plan says it. */
#ifndef JOGAK_CLI_PLAN_H
#define JOGAK_CLI_PLAN_H

#include "command.h"

/* "+ create a", "~ replace b (image)", "- delete c", and a line that sums it up. */
void plan_print(FILE *out, const json *plan, bool colour);
bool plan_is_empty(const json *plan);
/* What has to go before anything is made: the replaced and the deleted; an array of names, the
 * caller's. */
json *plan_leaving(const json *plan);
/* Is there anything to make? */
bool plan_makes(const json *plan);

#endif
