# The CUDA addon. Included by CMakeLists.txt, where nvcc is.
fo_list(default_architectures cudaArchitectures)
set(FO_CUDA_ARCHITECTURES "${default_architectures}"
    CACHE STRING "What kernels are compiled for, as CMAKE_CUDA_ARCHITECTURES takes it")
set(CMAKE_CUDA_ARCHITECTURES "${FO_CUDA_ARCHITECTURES}")
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
message(STATUS "CUDA: nvcc ${CMAKE_CUDA_COMPILER_VERSION}, for ${CMAKE_CUDA_ARCHITECTURES}")

foreach(part IN ITEMS shared core node device kernels)
  fo_list(cuda_${part} cuda ${part})
endforeach()
fo_list(nvcc_flags flags nvcc)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
  list(APPEND nvcc_flags --compress-mode=size)
else()
  list(APPEND nvcc_flags -Xfatbin=-compress-all)
endif()

add_library(fused_optim_cuda MODULE ${cuda_shared} ${cuda_core} ${cuda_node} ${cuda_device} ${cuda_kernels}
                                    ${CMAKE_JS_SRC})
set_target_properties(fused_optim_cuda PROPERTIES PREFIX "" SUFFIX ".node" CUDA_RUNTIME_LIBRARY Static)
target_include_directories(fused_optim_cuda PRIVATE native)
target_include_directories(fused_optim_cuda SYSTEM PRIVATE ${CMAKE_JS_INC} ${node_addon_api}
                                                           ${CUDAToolkit_INCLUDE_DIRS})
target_compile_definitions(fused_optim_cuda PRIVATE ${node_defines} NODE_GYP_MODULE_NAME=fused_optim_cuda
                                                    BUILDING_NODE_EXTENSION)
target_compile_options(fused_optim_cuda PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${common_flags}>
                                                $<$<COMPILE_LANGUAGE:CUDA>:${nvcc_flags}>)
target_link_libraries(fused_optim_cuda PRIVATE ${CMAKE_JS_LIB} CUDA::cudart_static ${CMAKE_DL_LIBS})
if(NOT APPLE AND NOT WIN32)
  target_link_options(fused_optim_cuda PRIVATE -pthread -Wl,--gc-sections -Wl,--exclude-libs,ALL
                      $<$<CONFIG:Release>:-s>)
endif()
