// Names that the kernel shares with libc. Included first wherever kernel sources or
// headers are compiled for the host, so that both can be linked into one program; with
// arguments, because format(printf, 1, 2) in an attribute must stay what it is.
#pragma once

#define exit(...)    k_exit(__VA_ARGS__)
#define fork(...)    k_fork(__VA_ARGS__)
#define kill(...)    k_kill(__VA_ARGS__)
#define memcmp(...)  k_memcmp(__VA_ARGS__)
#define memcpy(...)  k_memcpy(__VA_ARGS__)
#define memmove(...) k_memmove(__VA_ARGS__)
#define memset(...)  k_memset(__VA_ARGS__)
#define printf(...)  k_printf(__VA_ARGS__)
#define sleep(...)   k_sleep(__VA_ARGS__)
#define strlen(...)  k_strlen(__VA_ARGS__)
#define strncmp(...) k_strncmp(__VA_ARGS__)
#define strncpy(...) k_strncpy(__VA_ARGS__)
#define syscall(...) k_syscall(__VA_ARGS__)
#define wait(...)    k_wait(__VA_ARGS__)
