#!/bin/bash

#PBS -S /bin/bash
#PBS -N parsl.pbs.block-0
#PBS -m n
#PBS -l walltime=01:00:00
#PBS -l select=2:ncpus=128:ngpus=2
#PBS -o <script_dir>/parsl.pbs.block-0.stdout
#PBS -e <script_dir>/parsl.pbs.block-0.stderr


cd "$PBS_O_WORKDIR"
export PATH=$PATH:/env/bin
export OMP_NUM_THREADS=32
export TF_NUM_INTRAOP_THREADS=32
export TF_NUM_INTEROP_THREADS=1
export TF_CPP_MIN_LOG_LEVEL=2
export PARSL_TL_ACCELERATOR=cuda
export PARSL_TL_GPUS=of-the-job

export JOBNAME="parsl.pbs.block-0"

set -e
export CORES=$(getconf _NPROCESSORS_ONLN)
[[ "1" == "1" ]] && echo "Found cores : $CORES"
WORKERCOUNT=2
SCRIPT_DIR="<script_dir>"
[[ -d $SCRIPT_DIR ]] || SCRIPT_DIR=""

cat << MPIRUN_EOF > ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$JOBNAME.sh
parsl-tl-worker-pool --block-seconds 3600  --max_workers_per_node=2 -a <address> -p 0 -c 1.0 -m None --poll 10 --port=<worker_port> --cert_dir <cert_dir> --logdir=<logdir> --logconf=<logconf> --block_id=0 --hb_period=15  --hb_threshold=120 --drain_period=None --cpu-affinity none  --mpi-launcher=mpiexec --available-accelerators 0 1
MPIRUN_EOF
chmod u+x ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$JOBNAME.sh

mpirun -np $WORKERCOUNT --map-by ppr:1:node --bind-to none -x PATH -x OMP_NUM_THREADS -x TF_NUM_INTRAOP_THREADS -x TF_NUM_INTEROP_THREADS -x TF_CPP_MIN_LOG_LEVEL -x PARSL_TL_ACCELERATOR -x PARSL_TL_GPUS /bin/bash ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$JOBNAME.sh

[[ "1" == "1" ]] && echo "All workers done"


