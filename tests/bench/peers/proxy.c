/* The shape of the Lambda Web Adapter, at its least: between the Runtime API and a web server, one process.
 *
 *   GET /next  ->  an HTTP request to 127.0.0.1:$PORT  ->  a streamed POST /response
 *
 * One thread, one kept connection to each side, blocking; a chunk goes on as it came, in a write of its own. It does
 * less than an adapter has to: of the event it takes method, path, headers and body, it builds no context, looks at no
 * deadline and copies no chunk. So its figures flatter the arrangement.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define ROOM (1 << 17)

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* A connection, retried for ten seconds: the web server may still be starting. */
static int dial(const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &address.sin_addr);
    for (int tries = 0; tries < 1000; tries++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
        close(fd);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    die("connect");
    return -1;
}

static void send_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t sent = write(fd, data, size);
        if (sent <= 0) exit(0); /* the benchmark is over */
        data += sent, size -= sent;
    }
}

/* A message as it is read: `data` is always a string. */
struct inbox {
    int fd;
    size_t size;
    char data[ROOM];
};

static void more(struct inbox *in) {
    ssize_t got = in->size < ROOM - 1 ? read(in->fd, in->data + in->size, ROOM - 1 - in->size) : 0;
    if (got <= 0) exit(0);
    in->size += got;
    in->data[in->size] = 0;
}

/* Read until the head is whole; where the body begins. */
static char *read_head(struct inbox *in) {
    char *end;
    in->size = 0, in->data[0] = 0;
    while (!(end = strstr(in->data, "\r\n\r\n"))) more(in);
    end[2] = 0;
    return end + 4;
}

/* A header's value, up to the end of its line; NULL without one. */
static char *header(char *head, const char *name) {
    size_t length = strlen(name);
    for (char *line = strstr(head, "\r\n"); line && line[2]; line = strstr(line + 2, "\r\n"))
        if (!strncasecmp(line + 2, name, length) && line[2 + length] == ':')
            return line + 3 + length + strspn(line + 3 + length, " ");
    return NULL;
}

/* Copy the JSON string that begins at `from` to `to`; behind it in the text. Escapes of ASCII only. */
static const char *unescape(const char *from, char *to) {
    for (from++; *from && *from != '"'; from++) {
        if (*from == '\\' && *++from == 'u') *to++ = strtol((char[]){from[3], from[4], 0}, NULL, 16), from += 4;
        else *to++ = *from == 'n' && from[-1] == '\\' ? '\n' : *from;
    }
    *to = 0;
    return from + 1;
}

/* The value of the first member of that name, its quote or brace included. */
static const char *member(const char *event, const char *quoted_name) {
    const char *at = strstr(event, quoted_name);
    if (!at) die(quoted_name);
    at += strlen(quoted_name);
    return at + strspn(at, ": ");
}

static size_t append(char *out, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size += vsnprintf(out + size, ROOM - size, format, arguments);
    va_end(arguments);
    return size;
}

/* The event as an HTTP request. */
static size_t write_request(const char *event, char *out) {
    static char method[64], path[4096], body[ROOM / 2], name[1024], value[8192];
    unescape(member(event, "\"method\""), method);
    unescape(member(event, "\"rawPath\""), path);
    unescape(member(event, "\"body\""), body);
    size_t size = append(out, 0, "%s %s HTTP/1.1\r\n", method, path);
    for (const char *at = member(event, "\"headers\"") + 1; *at != '}'; at += strspn(at, ", ")) {
        at = unescape(at, name);
        at = unescape(at + strspn(at, ": "), value);
        if (strcasecmp(name, "content-length") && strcasecmp(name, "connection") && strcasecmp(name, "transfer-encoding"))
            size = append(out, size, "%s: %s\r\n", name, value); /* those three are of another connection */
    }
    return append(out, size, "content-length: %zu\r\n\r\n%s", strlen(body), body);
}

/* The head of the POST, and the prelude as its first chunk. */
static size_t begin_response(const char *id, char *head, char *out) {
    static char prelude[ROOM / 2];
    size_t length = append(prelude, 0, "{\"statusCode\":%.3s,\"headers\":{", head + 9);
    const char *comma = "";
    for (char *line = strstr(head, "\r\n") + 2; *line; line = strstr(line, "\r\n") + 2, comma = ",") {
        int name = strcspn(line, ":"), space = strspn(line + name + 1, " ");
        int value = strcspn(line + name + 1 + space, "\r");
        length = append(prelude, length, "%s\"%.*s\":\"%.*s\"", comma, name, line, value, line + name + 1 + space);
    }
    length = append(prelude, length, "}}");
    memset(prelude + length, 0, 8);
    length += 8;
    size_t size = append(out, 0,
                         "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: runtime\r\n"
                         "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
                         "Content-Type: application/vnd.awslambda.http-integration-response\r\n"
                         "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
                         id, length);
    memcpy(out + size, prelude, length);
    return append(out, size + length, "\r\n");
}

/* Pass chunks on, each in a write of its own, until the one of no bytes. Both sides frame them alike. */
static void relay_chunks(struct inbox *in, size_t start, int to) {
    for (int ended = 0; !ended;) {
        char *line;
        while (!ended && (line = memmem(in->data + start, in->size - start, "\r\n", 2))) {
            size_t length = strtoul(in->data + start, NULL, 16);
            size_t end = line + 2 - in->data + length + 2;
            if (in->size < end) break;
            send_all(to, in->data + start, end - start);
            start = end, ended = !length;
        }
        memmove(in->data, in->data + start, in->size - start);
        in->size -= start, start = 0;
        if (!ended) more(in);
    }
}

int main(void) {
    static struct inbox runtime, server;
    static char out[ROOM], id[128];
    char host[64] = "";
    int port = 0;
    if (sscanf(getenv("AWS_LAMBDA_RUNTIME_API"), "%63[^:]:%d", host, &port) != 2) die("AWS_LAMBDA_RUNTIME_API");
    server.fd = dial("127.0.0.1", atoi(getenv("PORT")));
    runtime.fd = dial(host, port);
    for (;;) {
        size_t size = append(out, 0, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n");
        send_all(runtime.fd, out, size);
        char *event = read_head(&runtime);
        size_t length = strtoul(header(runtime.data, "content-length"), NULL, 10);
        while (runtime.size < (size_t)(event - runtime.data) + length) more(&runtime);
        sscanf(header(runtime.data, "lambda-runtime-aws-request-id"), "%127[^\r]", id);
        send_all(server.fd, out, write_request(event, out));
        char *body = read_head(&server);
        send_all(runtime.fd, out, begin_response(id, server.data, out));
        relay_chunks(&server, body - server.data, runtime.fd);
        read_head(&runtime);
    }
}
