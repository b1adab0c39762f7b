// Makes a binary that is linked with a new glibc load with an old one: only prebuilt binaries have this file.
//
// Where a symbol has several versions, the linker takes the newest, which an old glibc lacks. The linker is
// told to send calls of such symbols, its own library's included, to the functions here (--wrap, "oldGlibc"
// in native/sources.json), which call the oldest version. scripts/package/checks.js names what is still too
// new.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/stat.h>

#if defined(__x86_64__)
#define FO_FIRST_GLIBC "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define FO_FIRST_GLIBC "GLIBC_2.17"
#endif

#define FO_OLD(name) __asm__(".symver old_" #name ", " #name "@" FO_FIRST_GLIBC)

extern "C" {

// Says whether locks can be left out, since glibc 2.32. Never.
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;

FO_OLD(dladdr);
int old_dladdr(const void* address, Dl_info* info);
int __wrap_dladdr(const void* address, Dl_info* info) { return old_dladdr(address, info); }

FO_OLD(dlopen);
void* old_dlopen(const char* file, int mode);
void* __wrap_dlopen(const char* file, int mode) { return old_dlopen(file, mode); }

FO_OLD(dlsym);
void* old_dlsym(void* handle, const char* name);
void* __wrap_dlsym(void* handle, const char* name) { return old_dlsym(handle, name); }

// Before glibc 2.33, fstat() was a macro over this; the first argument is the version of the structure.
FO_OLD(__fxstat64);
int old___fxstat64(int version, int file, struct stat64* result);
int __wrap_fstat64(int file, struct stat64* result) {
#if defined(__x86_64__)
  return old___fxstat64(1, file, result);
#else
  return old___fxstat64(0, file, result);
#endif
}

FO_OLD(pow);
double old_pow(double base, double exponent);
double __wrap_pow(double base, double exponent) { return old_pow(base, exponent); }

FO_OLD(pthread_create);
int old_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                       void* argument);
int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                          void* argument) {
  return old_pthread_create(thread, attributes, start, argument);
}

FO_OLD(pthread_detach);
int old_pthread_detach(pthread_t thread);
int __wrap_pthread_detach(pthread_t thread) { return old_pthread_detach(thread); }

FO_OLD(pthread_key_create);
int old_pthread_key_create(pthread_key_t* key, void (*destroy)(void*));
int __wrap___pthread_key_create(pthread_key_t* key, void (*destroy)(void*)) {
  return old_pthread_key_create(key, destroy);
}

FO_OLD(pthread_mutex_trylock);
int old_pthread_mutex_trylock(pthread_mutex_t* mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t* mutex) { return old_pthread_mutex_trylock(mutex); }

FO_OLD(pthread_once);
int old_pthread_once(pthread_once_t* once, void (*start)());
int __wrap_pthread_once(pthread_once_t* once, void (*start)()) { return old_pthread_once(once, start); }

}  // extern "C"
