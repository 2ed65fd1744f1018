#!/bin/bash

#SBATCH --job-name=parsl.perlmutter.block-0
#SBATCH --output=<script_dir>/parsl.perlmutter.block-0.stdout
#SBATCH --error=<script_dir>/parsl.perlmutter.block-0.stderr
#SBATCH --nodes=1
#SBATCH --time=360
#SBATCH --ntasks-per-node=1

#SBATCH --exclusive
#SBATCH --account=my-project
#SBATCH --qos=regular
#SBATCH --constraint=cpu


export PATH=$PATH:/env/bin
export OMP_NUM_THREADS=1
export TF_NUM_INTRAOP_THREADS=1
export TF_NUM_INTEROP_THREADS=1
export TF_CPP_MIN_LOG_LEVEL=2


export JOBNAME="parsl.perlmutter.block-0"

set -e
export CORES=$SLURM_CPUS_ON_NODE
export NODES=$SLURM_JOB_NUM_NODES

[[ "1" == "1" ]] && echo "Found cores : $CORES"
[[ "1" == "1" ]] && echo "Found nodes : $NODES"
WORKERCOUNT=1
SCRIPT_DIR="<script_dir>"
[[ -d $SCRIPT_DIR ]] || SCRIPT_DIR=""

cat << SLURM_EOF > ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$SLURM_JOB_NAME.sh
parsl-tl-worker-pool --block-seconds 21600  --max_workers_per_node=128 -a <address> -p 0 -c 1.0 -m None --poll 10 --port=<worker_port> --cert_dir <cert_dir> --logdir=<logdir> --logconf=<logconf> --block_id=0 --hb_period=15  --hb_threshold=120 --drain_period=None --cpu-affinity none  --mpi-launcher=mpiexec --available-accelerators 
SLURM_EOF
chmod a+x ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$SLURM_JOB_NAME.sh

srun --ntasks 1 -l --nodes=1 --ntasks-per-node=1 --cpus-per-task=256 --cpu-bind=none bash ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$SLURM_JOB_NAME.sh

[[ "1" == "1" ]] && echo "Done"

