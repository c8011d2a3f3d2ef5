/* httphead.h, line by line; how URLs are shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/data/http.h"
#include "kernels/data/httphead.h"

static void feed(struct httphead *head, const char *text) {
    httphead_clear(head);
    for (const char *at = text; *at;) {
        size_t len = strcspn(at, "\n") + 1;
        httphead_line(head, at, len);
        at += len;
    }
}

#define NO HTTPHEAD_UNKNOWN

static void heads(void **state) {
    (void)state;
    static const struct {
        const char *text;
        unsigned status;
        const char *reason, *validator;
        uint64_t length, from, total, retry_ms;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 17\r\nETag: \"a b\"\r\n\r\n", 200, "OK", "\"a b\"", 17,
         NO, NO, 0},
        {"HTTP/2 206 \r\ncontent-range: bytes 5-9/10\r\nlast-modified: Sat, 21 Nov\r\n", 206, "",
         "Sat, 21 Nov", NO, 5, 10, 0},
        {"HTTP/1.1 206 Partial\nContent-Range: bytes 5-9/*\n", 206, "Partial", "", NO, 5, NO, 0},
        {"HTTP/1.1 416 No\r\nContent-Range: bytes */10\r\n", 416, "No", "", NO, NO, 10, 0},
        {"HTTP/1.1 503 Later\r\nRETRY-AFTER:  3 \r\n", 503, "Later", "", NO, NO, NO, 3000},
        {"HTTP/1.1 503 Later\r\nRetry-After: Sat, 21 Nov 2026 12:00:00 GMT\r\n", 503, "Later", "",
         NO, NO, NO, 0},
        /* A strong ETag wins, in any order; a weak one is none. */
        {"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nLast-Modified: y\r\n", 200, "OK", "\"x\"", NO, NO, NO,
         0},
        {"HTTP/1.1 200 OK\r\nLast-Modified: y\r\nETag: \"x\"\r\n", 200, "OK", "\"x\"", NO, NO, NO,
         0},
        {"HTTP/1.1 200 OK\r\nLast-Modified: y\r\nETag: W/\"x\"\r\n", 200, "OK", "y", NO, NO, NO, 0},
        /* A redirection before; what it said is forgotten. */
        {"HTTP/1.1 302 Found\r\nContent-Length: 5\r\nETag: \"r\"\r\n\r\nHTTP/1.1 200 OK\r\n", 200,
         "OK", "", NO, NO, NO, 0},
        /* Nonsense is as if it were not said. */
        {"HTTP/1.1 200 OK\r\nContent-Length: -4\r\nContent-Range: 7\r\nno colon\r\n: empty\r\n",
         200, "OK", "", NO, NO, NO, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n", 200, "OK", "", NO, NO, NO,
         0},
        {"HTTP/1.1 206 OK\r\nContent-Range: bytes -/\r\n", 206, "OK", "", NO, NO, NO, 0},
        {"HTTP/1.1 2\r\n", 0, "", "", NO, NO, NO, 0},
        {"HTTP/1.1\r\n", 0, "", "", NO, NO, NO, 0},
        {"HTTP/1.1 999999\r\n", 999, "999", "", NO, NO, NO, 0},
        {"HTTP/1.1 404 a\tb\033[31m\r\n", 404, "a?b?[31m", "", NO, NO, NO, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct httphead head;
        feed(&head, rows[i].text);
        if (head.status != rows[i].status || strcmp(head.reason, rows[i].reason) != 0 ||
            strcmp(head.validator, rows[i].validator) != 0 || head.length != rows[i].length ||
            head.range_from != rows[i].from || head.range_total != rows[i].total ||
            head.retry_after_ms != rows[i].retry_ms)
            fail_msg("%s gives %u '%s' '%s'", rows[i].text, head.status, head.reason,
                     head.validator);
    }
}

static void too_long_validators_are_dropped(void **state) {
    (void)state;
    struct httphead head;
    char line[400] = "ETag: \"";
    memset(line + 7, 'x', 300);
    httphead_clear(&head);
    httphead_line(&head, line, 307);
    assert_string_equal(head.validator, "");
}

static void shown_urls(void **state) {
    (void)state;
    static const struct {
        const char *url, *shown;
    } rows[] = {
        {"http://host/a/b.npy", "http://host/a/b.npy"},
        {"https://host:8080/", "https://host:8080/"},
        {"http://user:secret@host/a", "http://host/a"},
        {"http://user@host", "http://host"},
        {"http://user:s@cret@host:1/a@b", "http://host:1/a@b"},
        {"http://user:s/ecret@host/a", "http://..."},
        {"http://host/a?token=secret", "http://host/a?..."},
        {"http://host/a#secret", "http://host/a?..."},
        {"http://host?secret@x", "http://host?..."},
        {"http://[::1]:80/a", "http://[::1]:80/a"},
        {"http://u:p@[::1]/a", "http://[::1]/a"},
        {"http://[::1/a", "http://[::1/a"},
        {"http://host/a\nb", "http://host/a?b"},
        {"http://", "http://"},
        {"nothing", "?"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out = BUF_INIT;
        http_show(rows[i].url, &out);
        assert_string_equal(out.data, rows[i].shown);
        buf_free(&out);
    }
    assert_true(http_is("http://x") && http_is("HTTPS://x"));
    assert_false(http_is("httpx://x") || http_is("http:/x") || http_is("") || http_is("a"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads),
        cmocka_unit_test(too_long_validators_are_dropped),
        cmocka_unit_test(shown_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
