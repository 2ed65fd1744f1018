#!/bin/bash

#PBS -S /bin/bash
#PBS -N parsl.sophia.block-0
#PBS -m n
#PBS -l walltime=01:00:00
#PBS -l select=1:ncpus=1
#PBS -o <script_dir>/parsl.sophia.block-0.stdout
#PBS -e <script_dir>/parsl.sophia.block-0.stderr
#PBS -A my-project
#PBS -q by-node
#PBS -l filesystems=home:eagle

cd "$PBS_O_WORKDIR"
module use /soft/modulefiles
module load conda
export PATH=$PATH:/env/bin
export OMP_NUM_THREADS=16
export TF_NUM_INTRAOP_THREADS=16
export TF_NUM_INTEROP_THREADS=1
export TF_CPP_MIN_LOG_LEVEL=2
export TMPDIR=/tmp
export PARSL_TL_ACCELERATOR=cuda
export PARSL_TL_GPUS=of-the-job

export JOBNAME="parsl.sophia.block-0"

export PARSL_TL_BLOCK_SHELL=$$
set -m
parsl-tl-worker-pool --block-seconds 3600  --max_workers_per_node=8 -a <address> -p 0 -c 1.0 -m None --poll 10 --port=<worker_port> --cert_dir <cert_dir> --logdir=<logdir> --logconf=<logconf> --block_id=0 --hb_period=15  --hb_threshold=120 --drain_period=None --cpu-affinity none  --mpi-launcher=mpiexec --available-accelerators 0 1 2 3 4 5 6 7 &
POOL=$!
trap 'kill -TERM -- -$POOL' TERM INT
wait $POOL
CODE=$?
kill -KILL -- -$POOL 2> /dev/null
exit $CODE


