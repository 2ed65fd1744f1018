#!/bin/bash
# A block that ends in the middle of its work: short_block.sh FILE CODE COMMAND...
# When the file has some more lines, it exits with the code, and what it has started is killed.
file=$1 code=$2
shift 2
enough=$(($(wc -l < "$file") + 10))
"$@" &
while kill -0 $! && [ "$(wc -l < "$file")" -lt $enough ]; do
  sleep 0.2
done
exit "$code"
