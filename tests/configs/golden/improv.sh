#!/bin/bash

#PBS -S /bin/bash
#PBS -N parsl.improv.block-0
#PBS -m n
#PBS -l walltime=01:00:00
#PBS -l select=1:ncpus=128
#PBS -o <script_dir>/parsl.improv.block-0.stdout
#PBS -e <script_dir>/parsl.improv.block-0.stderr
#PBS -A my-project
#PBS -q compute

cd "$PBS_O_WORKDIR"
module load gcc/13.2.0
module load openmpi/5.0.3-gcc-13.2.0
export PATH=$PATH:/env/bin
export OMP_NUM_THREADS=1
export TF_NUM_INTRAOP_THREADS=1
export TF_NUM_INTEROP_THREADS=1
export TF_CPP_MIN_LOG_LEVEL=2

export JOBNAME="parsl.improv.block-0"

set -e
export CORES=$(getconf _NPROCESSORS_ONLN)
[[ "1" == "1" ]] && echo "Found cores : $CORES"
WORKERCOUNT=1
SCRIPT_DIR="<script_dir>"
[[ -d $SCRIPT_DIR ]] || SCRIPT_DIR=""

cat << MPIRUN_EOF > ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$JOBNAME.sh
parsl-tl-worker-pool --block-seconds 3600  --max_workers_per_node=128 -a <address> -p 0 -c 1.0 -m None --poll 10 --port=<worker_port> --cert_dir <cert_dir> --logdir=<logdir> --logconf=<logconf> --block_id=0 --hb_period=15  --hb_threshold=120 --drain_period=None --cpu-affinity none  --mpi-launcher=mpiexec --available-accelerators 
MPIRUN_EOF
chmod u+x ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$JOBNAME.sh

mpirun -np $WORKERCOUNT --map-by ppr:1:node --bind-to none -x PATH -x OMP_NUM_THREADS -x TF_NUM_INTRAOP_THREADS -x TF_NUM_INTEROP_THREADS -x TF_CPP_MIN_LOG_LEVEL /bin/bash ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$JOBNAME.sh

[[ "1" == "1" ]] && echo "All workers done"


