#include "nodemgr/neighbour.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#define DISCARD_PORT 9

void neighbour_warm(const json *vteps) {
    int fd AUTO_FD = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    for (size_t i = 0; i < json_length(vteps); i++) {
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(DISCARD_PORT) };
        const char *text = json_str(json_at(vteps, i));
        if (!text || inet_pton(AF_INET, text, &to.sin_addr) != 1) continue;
        (void)!sendto(fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to);
    }
}
