#!/usr/bin/env bash
# Deploys the worker, gives it films, and takes everything away again. Needs the AWS CLI with your credentials, and podman
# or docker for the image. README.md has the parameters.
#
#   ./deploy.sh image                        build the worker's image and push it; prints its digest
#   ./deploy.sh up IMAGE [NAME=VALUE …]      create or change the stack: IMAGE as `image` printed it, template parameters
#   ./deploy.sh settings FOLDER              copy worker.toml, the cast and its pictures
#   ./deploy.sh upload FILM …                put films into the bucket: each starts a worker
#   ./deploy.sh many LIST                    one job for the films of a list, one s3://bucket/key a line
#   ./deploy.sh status                       what waits, what was set aside, what is running
#   ./deploy.sh again                        put the films that were set aside back into the queue
#   ./deploy.sh down [--delete-data]         remove the stack; films and datasets stay unless they are to go too
set -euo pipefail
cd "$(dirname "$0")"

stack=${STACK:-picchu}
repository=${REPOSITORY:-picchu}

die() { echo "$*" >&2; exit 2; }
command -v aws >/dev/null || die "the AWS CLI is not installed: https://aws.amazon.com/cli/"

output() { # a value that the stack tells
  local value
  value=$(aws cloudformation describe-stacks --stack-name "$stack" --output text \
    --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue")
  [ -n "$value" ] && [ "$value" != None ] || die "the stack $stack tells no $1; is it up?"
  printf '%s' "$value"
}

count() { # messages in a queue
  aws sqs get-queue-attributes --queue-url "$1" --output text --query "Attributes.$2" --attribute-names "$2"
}

image() {
  local engine account region registry tag
  engine=$(command -v podman || command -v docker) || die "neither podman nor docker is installed"
  account=$(aws sts get-caller-identity --query Account --output text)
  region=$(aws configure get region || printf '%s' "${AWS_REGION:?set AWS_REGION}")
  registry=$account.dkr.ecr.$region.amazonaws.com
  aws ecr describe-repositories --repository-names "$repository" >/dev/null 2>&1 ||
    aws ecr create-repository --repository-name "$repository" --image-tag-mutability IMMUTABLE \
      --image-scanning-configuration scanOnPush=true >/dev/null
  tag=$(git -C ../.. rev-parse --short=12 HEAD)
  "$engine" build -f Containerfile -t "$registry/$repository:$tag" ../..
  aws ecr get-login-password | "$engine" login --username AWS --password-stdin "$registry"
  "$engine" push "$registry/$repository:$tag"
  printf '@%s\n' "$(aws ecr describe-images --repository-name "$repository" --image-ids "imageTag=$tag" \
    --query 'imageDetails[0].imageDigest' --output text)"
}

up() {
  local version=${1:-}
  [[ $version == @sha256:* || $version == :* ]] || die "which image? For example: ./deploy.sh up @sha256:…"
  shift
  aws cloudformation deploy --stack-name "$stack" --template-file template.yaml --capabilities CAPABILITY_IAM \
    --tags picchu="$stack" --parameter-overrides "Repository=$repository" "ImageVersion=$version" "$@"
}

settings() {
  local folder=${1:?which folder}
  [ -f "$folder/worker.toml" ] || die "$folder has no worker.toml"
  aws s3 sync --delete "$folder" "s3://$(output DataBucket)/settings/"
}

upload() {
  local bucket prefix film
  [ $# -gt 0 ] || die "which films?"
  bucket=$(output FilmsBucket) prefix=$(output FilmsUnder)
  for film in "$@"; do
    aws s3 cp "$film" "s3://$bucket/$prefix$(basename "$film")"
  done
}

many() {
  local list=${1:?which list} films place size
  films=$(grep -cEv '^[[:space:]]*(#|$)' "$list") || die "$list names no film"
  [ "$films" -le 10000 ] || die "$list names $films films; a job takes 10,000: split the list"
  place=s3://$(output DataBucket)/lists/$(date -u +%Y%m%dT%H%M%SZ).txt
  aws s3 cp "$list" "$place"
  # An array has two children at least.
  size=()
  [ "$films" -gt 1 ] && size=(--array-properties "size=$films")
  aws batch submit-job --job-name "$stack-films" --job-queue "$(output JobQueue)" \
    --job-definition "$(output JobDefinition)" --parameters "films=$place" "${size[@]}" --query jobId --output text
}

status() {
  local queue dead
  queue=$(output QueueUrl) dead=$(output DeadLettersUrl)
  echo "waiting:    $(count "$queue" ApproximateNumberOfMessages)"
  echo "in work:    $(count "$queue" ApproximateNumberOfMessagesNotVisible)"
  echo "set aside:  $(count "$dead" ApproximateNumberOfMessages)"
  echo "workers:    $(aws ecs list-tasks --cluster "$(output ClusterName)" --query 'length(taskArns)' --output text)"
  echo "reports:    s3://$(output DataBucket)/datasets/reports/"
}

again() {
  aws sqs start-message-move-task --source-arn "$(aws sqs get-queue-attributes --queue-url "$(output DeadLettersUrl)" \
    --attribute-names QueueArn --query Attributes.QueueArn --output text)"
}

empty() { # a bucket, with all versions
  local versions
  while :; do
    versions=$(aws s3api list-object-versions --bucket "$1" --max-items 500 --output json \
      --query '{Objects: [Versions, DeleteMarkers][] | [].{Key: Key, VersionId: VersionId}, Quiet: `true`}')
    case $versions in *'"Key"'*) ;; *) return ;; esac
    aws s3api delete-objects --bucket "$1" --delete "$versions" >/dev/null
  done
}

down() {
  local films data
  films=$(output FilmsBucket) data=$(output DataBucket)
  if [ "${1:-}" = --delete-data ]; then
    read -r -p "Delete every film in $films and every dataset in $data for good? Type the stack's name: " answer
    [ "$answer" = "$stack" ] || die "nothing was deleted"
  fi
  aws cloudformation delete-stack --stack-name "$stack"
  aws cloudformation wait stack-delete-complete --stack-name "$stack"
  if [ "${1:-}" = --delete-data ]; then
    for bucket in "$films" "$data"; do
      empty "$bucket"
      aws s3api delete-bucket --bucket "$bucket"
    done
  else
    echo "kept: s3://$films and s3://$data"
  fi
  echo "kept: the image repository $repository; aws ecr delete-repository --force --repository-name $repository"
}

case ${1:-} in
  image | up | settings | upload | many | status | again | down) "$@" ;;
  *) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
