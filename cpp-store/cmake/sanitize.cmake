# Sanitizers, for everything that is compiled here. Arrow comes compiled and stays as it is.

if(PARSL_TL_SANITIZE)
  set(SANITIZE_KNOWN address undefined address,undefined thread)
  if(NOT PARSL_TL_SANITIZE IN_LIST SANITIZE_KNOWN)
    message(FATAL_ERROR "PARSL_TL_SANITIZE is '${PARSL_TL_SANITIZE}', not one of: ${SANITIZE_KNOWN}")
  endif()
  # Behind the build type's flags, so that these win: lines in stack traces, and a third of the time
  # that -O1 -g takes to compile. The assertions of libstdc++ find reads outside of a span, which in a
  # mapping no sanitizer sees.
  add_compile_options(-fsanitize=${PARSL_TL_SANITIZE} -fno-omit-frame-pointer -g1 -Og
    -D_GLIBCXX_ASSERTIONS)
  add_link_options(-fsanitize=${PARSL_TL_SANITIZE})
  if(PARSL_TL_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize-recover=all)
    add_link_options(-fno-sanitize-recover=all)
  endif()
endif()

# With clang, the fuzz targets are libFuzzer's, which wants to see what the engine covers.
set(PARSL_TL_LIBFUZZER OFF)
if(PARSL_TL_TESTS AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  set(PARSL_TL_LIBFUZZER ON)
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()
