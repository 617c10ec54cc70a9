#include "routes.h"

#include "access.h"
#include "certificate.h"
#include "enrollment.h"
#include "info.h"
#include "operator_credential.h"
#include "project.h"
#include "registry.h"
#include "slice.h"
#include "user.h"

#define ANYONE ROLE_ANYONE
#define OPERATOR ROLE_OPERATOR
#define PEOPLE (ROLE_USER | ROLE_OPERATOR)
#define SERVICES (ROLE_AGGREGATE | ROLE_STORE)
#define RENEWERS (PEOPLE | SERVICES | ROLE_NODE)
#define MANAGERS (PEOPLE | ROLE_AGGREGATE)
#define EVERYBODY ROLE_SIGNED_IN
#define BODY 65536 /* bytes */
#define S(name) "clearinghouse#" name

/* clang-format off */
static const struct route rows[] = {
    { "GET", "/v1", info_get, ANYONE, NULL, "common#ServiceInfo", BODY, false },
    { "GET", "/v1/ca", info_ca, ANYONE, NULL, NULL, BODY, false },
    { "POST", "/v1/enroll", enrollment_enroll, ANYONE, S("EnrollRequest"), S("Certificate"), BODY, false },
    { "POST", "/v1/renew", certificate_renew, RENEWERS, S("RenewRequest"), S("Certificate"), BODY, false },
    { "POST", "/v1/enrollments", enrollment_post, OPERATOR, S("NewEnrollment"), S("Enrollment"), BODY, false },
    { "GET", "/v1/credential", operator_credential, OPERATOR, NULL, S("Credential"), BODY, false },
    { "GET", "/v1/revocations", revocation_list, EVERYBODY, NULL, S("Revocations"), BODY, false },
    { "POST", "/v1/revocations", revocation_post, OPERATOR, S("NewRevocation"), S("Revoked"), BODY, false },

    { "GET", "/v1/users", user_list, OPERATOR, NULL, S("UserList"), BODY, false },
    { "POST", "/v1/users", user_post, OPERATOR, S("NewUser"), S("User"), BODY, false },
    { "GET", "/v1/users/{user}", user_get, PEOPLE, NULL, S("User"), BODY, false },
    { "PATCH", "/v1/users/{user}", user_patch, PEOPLE, S("UserChange"), S("User"), BODY, false },
    { "DELETE", "/v1/users/{user}", user_delete, OPERATOR, NULL, NULL, BODY, false },

    { "GET", "/v1/projects", project_list, PEOPLE, NULL, S("ProjectList"), BODY, false },
    { "POST", "/v1/projects", project_post, OPERATOR, S("NewProject"), S("Project"), BODY, false },
    { "GET", "/v1/projects/{project}", project_get, PEOPLE, NULL, S("Project"), BODY, false },
    { "PATCH", "/v1/projects/{project}", project_patch, PEOPLE, S("ProjectChange"), S("Project"), BODY, false },
    { "DELETE", "/v1/projects/{project}", project_delete, OPERATOR, NULL, NULL, BODY, false },
    { "PUT", "/v1/projects/{project}/members/{user}", project_member_put, PEOPLE, S("MemberRole"), S("Project"), BODY, false },
    { "DELETE", "/v1/projects/{project}/members/{user}", project_member_delete, PEOPLE, NULL, NULL, BODY, false },

    { "GET", "/v1/slices", slice_list, MANAGERS, NULL, S("SliceList"), BODY, false },
    { "POST", "/v1/slices", slice_post, PEOPLE, S("NewSlice"), S("Slice"), BODY, false },
    { "GET", "/v1/slices/{slice}", slice_get, MANAGERS, NULL, S("Slice"), BODY, false },
    { "PATCH", "/v1/slices/{slice}", slice_patch, PEOPLE, S("SliceChange"), S("Slice"), BODY, false },
    { "POST", "/v1/slices/{slice}/renew", slice_renew, PEOPLE, S("SliceRenewal"), S("Slice"), BODY, false },
    { "POST", "/v1/slices/{slice}/shutdown", slice_shutdown, PEOPLE, NULL, S("Slice"), BODY, false },
    { "PUT", "/v1/slices/{slice}/members/{user}", slice_member_put, PEOPLE, S("MemberRole"), S("Slice"), BODY, false },
    { "DELETE", "/v1/slices/{slice}/members/{user}", slice_member_delete, PEOPLE, NULL, NULL, BODY, false },
    { "GET", "/v1/slices/{slice}/credential", slice_credential, PEOPLE, NULL, S("Credential"), BODY, false },

    { "GET", "/v1/services", registry_list, EVERYBODY, NULL, S("ServiceList"), BODY, false },
    { "POST", "/v1/services", registry_post, OPERATOR, S("NewService"), S("Service"), BODY, false },
    { "PUT", "/v1/services/self", registry_put_self, SERVICES, S("ServiceReport"), S("Service"), BODY, false },
    { "GET", "/v1/services/{service}", registry_get, EVERYBODY, NULL, S("Service"), BODY, false },
    { "DELETE", "/v1/services/{service}", registry_delete, OPERATOR, NULL, NULL, BODY, false },
};
/* clang-format on */

struct route_table clearinghouse_routes(struct house *h) {
    return (struct route_table){
        .rows = rows,
        .count = COUNT_OF(rows),
        .ctx = h,
        .roles_of = access_roles_of,
    };
}
