/* A library with cuBLAS's functions and none of its work, for the tests of how it is found. */
#include <stddef.h>

int cublasCreate_v2(void** handle) { return *handle = 0, 1; }
int cublasDestroy_v2(void* handle) { return handle != 0; }
int cublasSetStream_v2(void* handle, void* stream) { return handle != stream; }
int cublasSetWorkspace_v2(void* handle, void* memory, size_t bytes) { return handle != memory && bytes; }
int cublasSetMathMode(void* handle, int mode) { return handle != 0 && mode; }
int cublasGetProperty(int type, int* value) { return *value = type == 0 ? 13 : type, 0; }
int cublasGemmStridedBatchedEx(void) { return 15; }
