//! The containers that jobs and endpoints run in: those of Hugging Face, where a user names no other.

/// What is appended to an account and a Region.
const TRAINING: &str = "huggingface-pytorch-training:2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04";
const INFERENCE: &str = "huggingface-pytorch-inference:2.6.0-transformers5.5.3-gpu-py312-cu124-ubuntu22.04";

/// The account that holds Amazon's containers in a Region: the table of the package sagemaker-core 2.27.0.
fn account(region: &str) -> Option<&'static str> {
    Some(match region {
        "ap-northeast-1" | "ap-northeast-2" | "ap-south-1" | "ap-southeast-1" | "ap-southeast-2"
        | "ca-central-1" | "eu-central-1" | "eu-north-1" | "eu-west-1" | "eu-west-2" | "eu-west-3"
        | "sa-east-1" | "us-east-1" | "us-east-2" | "us-west-1" | "us-west-2" => "763104351884",
        "af-south-1" => "626614931356",
        "ap-east-1" => "871362719292",
        "ap-northeast-3" => "364406365360",
        "ap-southeast-3" => "907027046896",
        "ca-west-1" => "204538143572",
        "cn-north-1" | "cn-northwest-1" => "727897471807",
        "eu-south-1" => "692866216735",
        "il-central-1" => "780543022126",
        "me-central-1" => "914824155844",
        "me-south-1" => "217643126080",
        "us-gov-east-1" => "446045086412",
        "us-gov-west-1" => "442386744353",
        _ => return None,
    })
}

/// The container that trains in a Region; `None` where none is known.
///
/// ```
/// use picchu::aws::sagemaker::training_image;
/// assert!(training_image("eu-west-1").is_some_and(|image| image.starts_with("763104351884.dkr.ecr.eu-west-1.")));
/// assert_eq!(training_image("mars-1"), None);
/// ```
pub fn training_image(region: &str) -> Option<String> {
    image(region, TRAINING)
}

/// The container that serves in a Region; `None` where none is known.
pub fn inference_image(region: &str) -> Option<String> {
    image(region, INFERENCE)
}

fn image(region: &str, name: &str) -> Option<String> {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Some(format!("{}.dkr.ecr.{region}.{domain}/{name}", account(region)?))
}
