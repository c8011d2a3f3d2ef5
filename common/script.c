#include "common/script.h"

#include <string.h>

const struct script *script_find(const char *name) {
    for (size_t i = 0; i < scripts_count; i++) {
        if (strcmp(scripts[i].name, name) == 0) {
            return &scripts[i];
        }
    }
    return NULL;
}
