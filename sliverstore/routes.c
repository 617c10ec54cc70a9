#include "routes.h"

#include "access.h"
#include "chunks.h"
#include "collect.h"
#include "image.h"
#include "image_commit.h"
#include "info.h"
#include "state.h"
#include "common/chunk.h"

#define READERS ROLE_SIGNED_IN
#define WRITERS (ROLE_USER | ROLE_OPERATOR)
#define UPLOADERS (WRITERS | ROLE_NODE)
#define KEEPERS (ROLE_AGGREGATE | ROLE_OPERATOR)

static const struct route rows[] = {
    { "GET", "/v1", info_get, ROLE_ANYONE, NULL, "common#ServiceInfo", 0, false },
    { "POST", "/v1/chunks/missing", chunks_missing, UPLOADERS, "sliverstore#ChunkQuery",
      "sliverstore#MissingChunks", 0, false },
    { "PUT", "/v1/chunks/{digest}", chunks_put, UPLOADERS, NULL, "sliverstore#Chunk", CHUNK_MAX_BYTES,
      true },
    { "GET", "/v1/chunks/{digest}", chunks_get, READERS, NULL, NULL, 0, false },
    { "GET", "/v1/images", image_list, READERS, NULL, "sliverstore#ImagePage", 0, false },
    { "PUT", "/v1/images/{name}", image_put, WRITERS, "sliverstore#NewImage", "sliverstore#Image",
      JSON_SIZE_MAX, false },
    { "GET", "/v1/images/{name}", image_get, READERS, NULL, "sliverstore#Image", 0, false },
    { "DELETE", "/v1/images/{name}", image_delete, WRITERS, NULL, NULL, 0, false },
    { "GET", "/v1/manifests/{digest}", image_manifest, READERS, NULL, NULL, 0, false },
    { "GET", "/v1/states", state_list, KEEPERS | ROLE_NODE, NULL, "sliverstore#StatePage", 0, false },
    { "PUT", "/v1/states/{digest}", state_put, ROLE_NODE, "sliverstore#NewState", "sliverstore#State",
      JSON_SIZE_MAX, false },
    { "GET", "/v1/states/{digest}", state_get, KEEPERS | ROLE_NODE, NULL, NULL, 0, false },
    { "DELETE", "/v1/states/{digest}", state_delete, KEEPERS, NULL, NULL, 0, false },
    { "POST", "/v1/collect", collect_post, ROLE_OPERATOR, "sliverstore#NewCollection",
      "sliverstore#Collection", 0, false },
};

struct route_table routes_of(struct store *s) {
    return (struct route_table){ rows, COUNT_OF(rows), s, access_roles };
}
