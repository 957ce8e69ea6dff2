/* A streaming completions server that is never the bottleneck and knows how late it was.
 *
 *   mock_server PORT TTFT_US ITL_US TOKENS
 *
 * One thread, epoll, a binary heap of timers. Every POST is answered with TOKENS events, the first TTFT_US after the
 * request was read completely, the others ITL_US apart by schedule (a late write does not move the next one), then
 * usage and [DONE] in the same write as the last event. With TTFT_US and ITL_US 0 the whole answer is one write.
 *
 * GET /stats returns the server's own account since the last GET /reset as JSON: requests answered, events written,
 * the sum and maximum of (actual write - due time) over all events and its sum over first events, the time from the
 * first to the last answer, and the count of arrivals with the variance over mean of their number per 100 ms.
 *
 * GET /window?FROM-TO-BIN gives the account of a stretch of the monotonic clock [ns]: events written in it, requests
 * whose answer ended in it with the mean lateness of their first events, and requests that arrived in it with the
 * variance over mean of their number per BIN.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 16384, BUFFER = 1 << 16, MAX_ARRIVALS = 1 << 22, MAX_EVENTS = 1 << 23, BIN_NS = 100000000 };

struct connection {
    int fd, in_use, sent, busy;
    long body_left;
    size_t filled;
    int64_t due, first_late;
    char buffer[BUFFER];
};

static struct connection *connections[MAX_CONNECTIONS];
static struct connection **heap;
static int heap_size;
static long ttft_ns, itl_ns;
static int tokens;
static int epoll_fd;

static struct {
    long requests, events, late_max;
    double late_sum, late_first_sum;
    int64_t first, last;
    long arrivals;
} stats;
static int64_t *arrival_times, *event_times;
static struct {
    int64_t at, first_late;
} *answers;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void heap_swap(int a, int b) {
    struct connection *c = heap[a];
    heap[a] = heap[b];
    heap[b] = c;
}

static void heap_push(struct connection *c) {
    int i = heap_size++;
    heap[i] = c;
    while (i > 0 && heap[(i - 1) / 2]->due > heap[i]->due) {
        heap_swap(i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static void heap_sink(int i) {
    for (;;) {
        int least = i, l = 2 * i + 1, r = l + 1;
        if (l < heap_size && heap[l]->due < heap[least]->due) least = l;
        if (r < heap_size && heap[r]->due < heap[least]->due) least = r;
        if (least == i) return;
        heap_swap(i, least);
        i = least;
    }
}

static void heap_remove(struct connection *c) {
    for (int i = 0; i < heap_size; i++)
        if (heap[i] == c) {
            heap[i] = heap[--heap_size];
            heap_sink(i);
            for (; i > 0 && heap[(i - 1) / 2]->due > heap[i]->due; i = (i - 1) / 2) heap_swap(i, (i - 1) / 2);
            return;
        }
}

static void drop(struct connection *c) {
    if (c->busy) heap_remove(c);
    close(c->fd);
    c->in_use = c->busy = 0;
}

static int put_chunk(char *to, const char *data, int length) {
    int n = sprintf(to, "%x\r\n", length);
    memcpy(to + n, data, length);
    memcpy(to + n + length, "\r\n", 2);
    return n + length + 2;
}

static const char HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char EVENT[] =
    "data: {\"id\":\"cmpl-0123456789abcdef\",\"object\":\"text_completion\",\"created\":1795200000,\"model\":\"mock\","
    "\"choices\":[{\"index\":0,\"text\":\" word\",\"logprobs\":null,\"finish_reason\":null}]}\n\n";

/* Write every event of c that is due; returns 0 when the answer is complete. */
static int advance(struct connection *c, int64_t now) {
    static char out[1 << 20];
    int n = 0;
    if (c->sent == 0) {
        memcpy(out, HEAD, sizeof HEAD - 1);
        n = sizeof HEAD - 1;
    }
    while (c->sent < tokens && c->due <= now) {
        n += put_chunk(out + n, EVENT, sizeof EVENT - 1);
        if (stats.events < MAX_EVENTS) event_times[stats.events] = now;
        stats.events++;
        stats.late_sum += now - c->due;
        if (now - c->due > stats.late_max) stats.late_max = now - c->due;
        if (c->sent == 0) stats.late_first_sum += c->first_late = now - c->due;
        c->sent++;
        if (c->sent < tokens) c->due += itl_ns;
    }
    int done = c->sent == tokens;
    if (done) {
        char tail[256];
        int length = sprintf(tail,
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":16,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n"
            "data: [DONE]\n\n", tokens, tokens + 16);
        n += put_chunk(out + n, tail, length);
        memcpy(out + n, "0\r\n\r\n", 5);
        n += 5;
        if (stats.requests < MAX_ARRIVALS) {
            answers[stats.requests].at = now;
            answers[stats.requests].first_late = c->first_late;
        }
        stats.requests++;
        stats.last = now;
        if (!stats.first) stats.first = now;
    }
    if (write(c->fd, out, n) != n) {
        c->busy = 0;
        drop(c);
        return 0;
    }
    return !done;
}

static void say(int fd, const char *body) {
    char out[512];
    int n = sprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                    strlen(body), body);
    if (write(fd, out, n) != n) perror("write");
}

static void report(int fd) {
    double sum = 0, squares = 0;
    long bins = 0, from = 0;
    while (stats.arrivals && arrival_times[from] + BIN_NS <= arrival_times[stats.arrivals - 1]) {
        long count = 0;
        int64_t end = arrival_times[0] + ++bins * BIN_NS;
        while (arrival_times[from] < end) count++, from++;
        sum += count;
        squares += (double)count * count;
    }
    double mean = bins ? sum / bins : 0;
    double dispersion = bins > 1 && mean > 0 ? (squares - bins * mean * mean) / (bins - 1) / mean : 0;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    char body[400];
    sprintf(body,
        "{\"requests\":%ld,\"events\":%ld,\"late_sum_s\":%.9f,\"late_first_sum_s\":%.9f,\"late_max_s\":%.9f,"
        "\"span_s\":%.9f,\"arrivals\":%ld,\"dispersion\":%.6f,\"cpu_s\":%.6f}",
        stats.requests, stats.events, stats.late_sum / 1e9, stats.late_first_sum / 1e9, stats.late_max / 1e9,
        (stats.last - stats.first) / 1e9, stats.arrivals, dispersion,
        usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    say(fd, body);
}

static long at_most(long count, long limit) { return count < limit ? count : limit; }

static void report_window(int fd, const char *query) {
    long long from = 0, to = 0, bin = 0;
    char body[400];
    if (sscanf(query, "%lld-%lld-%lld", &from, &to, &bin) != 3 || bin <= 0 || to <= from) {
        say(fd, "{}");
        return;
    }
    long events = 0, requests = 0, arrivals = 0, bins = (to - from) / bin, next = 0;
    double late = 0, squares = 0;
    for (long i = 0; i < at_most(stats.events, MAX_EVENTS); i++) events += event_times[i] >= from && event_times[i] < to;
    for (long i = 0; i < at_most(stats.requests, MAX_ARRIVALS); i++)
        if (answers[i].at >= from && answers[i].at < to) requests++, late += answers[i].first_late;
    while (next < stats.arrivals && arrival_times[next] < from) next++;
    for (long b = 0; b < bins; b++) {
        long count = 0;
        while (next < stats.arrivals && arrival_times[next] < from + (b + 1) * bin) count++, next++;
        arrivals += count;
        squares += (double)count * count;
    }
    double mean = bins ? (double)arrivals / bins : 0;
    double dispersion = bins > 1 && mean > 0 ? (squares - bins * mean * mean) / (bins - 1) / mean : 0;
    sprintf(body,
        "{\"events\":%ld,\"requests\":%ld,\"late_first_mean_s\":%.9f,\"arrivals\":%ld,\"bins\":%ld,\"dispersion\":%.6f}",
        events, requests, requests ? late / requests / 1e9 : 0, arrivals, bins, dispersion);
    say(fd, body);
}

static void answer(struct connection *c, int64_t now) {
    c->sent = 0;
    c->due = now + ttft_ns;
    if (stats.arrivals < MAX_ARRIVALS) arrival_times[stats.arrivals++] = now;
    if (ttft_ns == 0 && advance(c, now) == 0) return;
    c->busy = 1;
    heap_push(c);
}

static void readable(struct connection *c) {
    for (;;) {
        if (c->filled == BUFFER - 1) c->filled = 0; /* a long body: only its length matters */
        ssize_t n = read(c->fd, c->buffer + c->filled, BUFFER - 1 - c->filled);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            drop(c);
            return;
        }
        if (c->body_left > 0) {
            c->body_left -= n;
            if (c->body_left <= 0) {
                c->filled = 0;
                answer(c, now_ns());
            }
            continue;
        }
        c->filled += n;
        c->buffer[c->filled] = 0;
        char *end = strstr(c->buffer, "\r\n\r\n");
        if (!end) continue;
        if (!strncmp(c->buffer, "GET ", 4)) {
            c->filled = 0;
            if (!strncmp(c->buffer + 4, "/reset", 6)) {
                memset(&stats, 0, sizeof stats);
                say(c->fd, "{}");
            } else if (!strncmp(c->buffer + 4, "/window?", 8))
                report_window(c->fd, c->buffer + 12);
            else
                report(c->fd);
            continue;
        }
        char *field = strcasestr(c->buffer, "content-length:");
        long length = field ? strtol(field + 15, NULL, 10) : 0;
        c->body_left = length - (c->filled - (end + 4 - c->buffer));
        if (c->body_left <= 0) {
            c->filled = 0;
            c->body_left = 0;
            answer(c, now_ns());
        }
    }
}

static void welcome(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) return;
        if (fd >= MAX_CONNECTIONS) {
            close(fd);
            continue;
        }
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (!connections[fd]) connections[fd] = malloc(sizeof(struct connection));
        struct connection *c = connections[fd];
        c->fd = fd;
        c->in_use = 1;
        c->busy = 0;
        c->body_left = 0;
        c->filled = 0;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: mock_server PORT TTFT_US ITL_US TOKENS\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    ttft_ns = atol(argv[2]) * 1000;
    itl_ns = atol(argv[3]) * 1000;
    tokens = atoi(argv[4]);
    heap = malloc(MAX_CONNECTIONS * sizeof *heap);
    arrival_times = malloc(MAX_ARRIVALS * sizeof *arrival_times);
    event_times = malloc(MAX_EVENTS * sizeof *event_times);
    answers = malloc(MAX_ARRIVALS * sizeof *answers);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("mock_server");
        return 1;
    }
    socklen_t size = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &size);
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event events[256];
    for (;;) {
        struct timespec wait, *limit = NULL;
        if (heap_size) {
            int64_t left = heap[0]->due - now_ns();
            if (left < 0) left = 0;
            wait.tv_sec = left / 1000000000;
            wait.tv_nsec = left % 1000000000;
            limit = &wait;
        }
        struct pollfd poll_epoll = {.fd = epoll_fd, .events = POLLIN};
        if (ppoll(&poll_epoll, 1, limit, NULL) > 0) {
            int count = epoll_wait(epoll_fd, events, 256, 0);
            for (int i = 0; i < count; i++) {
                int fd = events[i].data.fd;
                if (fd == listener)
                    welcome(listener);
                else if (connections[fd]->in_use)
                    readable(connections[fd]);
            }
        }
        int64_t now = now_ns();
        while (heap_size && heap[0]->due <= now) {
            struct connection *c = heap[0];
            heap[0] = heap[--heap_size];
            heap_sink(0);
            c->busy = 0;
            if (advance(c, now)) {
                c->busy = 1;
                heap_push(c);
            }
            now = now_ns();
        }
    }
}
