#!/bin/bash

#PBS -S /bin/bash
#PBS -N parsl.aurora.block-0
#PBS -m n
#PBS -l walltime=01:00:00
#PBS -l select=1:ncpus=208
#PBS -o <script_dir>/parsl.aurora.block-0.stdout
#PBS -e <script_dir>/parsl.aurora.block-0.stderr
#PBS -A my-project
#PBS -q debug
#PBS -l filesystems=home:flare

cd "$PBS_O_WORKDIR"
module load frameworks
export PATH=$PATH:/env/bin
export OMP_NUM_THREADS=8
export TF_NUM_INTRAOP_THREADS=8
export TF_NUM_INTEROP_THREADS=1
export TF_CPP_MIN_LOG_LEVEL=2
export TMPDIR=/tmp
export ZE_FLAT_DEVICE_HIERARCHY=FLAT
export KERAS_BACKEND=torch
export PARSL_TL_ACCELERATOR=xpu
export PARSL_TL_GPUS=of-the-job

export JOBNAME="parsl.aurora.block-0"

set -e
export CORES=$(getconf _NPROCESSORS_ONLN)
[[ "1" == "1" ]] && echo "Found cores : $CORES"
WORKERCOUNT=1
SCRIPT_DIR="<script_dir>"
[[ -d $SCRIPT_DIR ]] || SCRIPT_DIR=""

# Deduplicate the nodefile
HOSTFILE="$JOBNAME.nodes"
if [ -z "$PBS_NODEFILE" ]; then
    echo "localhost" > $HOSTFILE
else
    sort -u $PBS_NODEFILE > $HOSTFILE
fi

cat << MPIEXEC_EOF > ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$JOBNAME.sh
parsl-tl-worker-pool --block-seconds 3600  --max_workers_per_node=12 -a <address> -p 0 -c 1.0 -m None --poll 10 --port=<worker_port> --cert_dir <cert_dir> --logdir=<logdir> --logconf=<logconf> --block_id=0 --hb_period=15  --hb_threshold=120 --drain_period=None --cpu-affinity list:1-8,105-112:9-16,113-120:17-24,121-128:25-32,129-136:33-40,137-144:41-48,145-152:53-60,157-164:61-68,165-172:69-76,173-180:77-84,181-188:85-92,189-196:93-100,197-204  --mpi-launcher=mpiexec --available-accelerators 0 1 2 3 4 5 6 7 8 9 10 11
MPIEXEC_EOF
chmod u+x ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$JOBNAME.sh

mpiexec --cpu-bind none --ppn 1 -n $WORKERCOUNT --hostfile $HOSTFILE /usr/bin/sh ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$JOBNAME.sh

[[ "1" == "1" ]] && echo "All workers done"


