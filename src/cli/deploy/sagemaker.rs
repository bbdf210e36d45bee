//! Serving on Amazon SageMaker.

use clap::Args;

use super::Deploy;
use crate::cli::output::{ask, to_json};
use crate::{
    Deployer, Error, Result,
    config::{Access, SageMakerServingPlan, price_table},
    train::{Ledger, stands_in_the_way},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "On Amazon SageMaker")]
pub(super) struct Arguments {
    /// Role that `SageMaker` takes on; the job's own unless given.
    #[arg(long, value_name = "ARN", default_value = "", hide_default_value = true)]
    role: String,
    /// Folder on S3 for requests and images; `board` in the job's output unless given.
    #[arg(long, value_name = "S3_FOLDER", default_value = "", hide_default_value = true)]
    images: String,
    /// What a model was made from that is given as a folder.
    #[arg(long, value_name = "ID")]
    base_model: Option<String>,
    /// Type of machine.
    #[arg(long, value_name = "TYPE", default_value = "ml.g5.2xlarge")]
    instance: String,
    /// Keep a machine, and pay it, when there is nothing to draw.
    #[arg(long)]
    keep_awake: bool,
    /// Denoising steps of an image.
    #[arg(long, value_name = "N", default_value = "28")]
    steps: u32,
    /// How closely prompts are followed.
    #[arg(long, value_name = "N", default_value = "4")]
    guidance: f32,
    /// The container, where it is not that of Hugging Face.
    #[arg(long, value_name = "ADDRESS")]
    image: Option<String>,
    /// Cut the container off from every network.
    #[arg(long)]
    isolated: bool,
    /// Key that images and disks are encrypted with.
    #[arg(long, value_name = "KEY")]
    kms_key: Option<String>,
    /// Subnet of the endpoint's network; may come again.
    #[arg(long, value_name = "ID")]
    subnet: Vec<String>,
    /// Security group of the endpoint's network; may come again.
    #[arg(long, value_name = "ID")]
    security_group: Vec<String>,
}

impl Deploy {
    pub(super) async fn on_sagemaker(self, access: &Access) -> Result<()> {
        if self.update.is_some() {
            return Err(Error::invalid(
                "--update is for deployments on Bedrock; on SageMaker deploy the model under another --name, and end the \
                 first with picchu clean",
            ));
        }
        let own = &self.sagemaker;
        let plan = SageMakerServingPlan {
            model: self.model.clone(),
            base_model: own.base_model.clone(),
            name: self.name.clone(),
            role: own.role.clone(),
            output: own.images.clone(),
            instance: own.instance.clone(),
            keep_awake: own.keep_awake,
            steps: own.steps,
            guidance: own.guidance,
            image: own.image.clone(),
            isolated: own.isolated,
            kms_key: own.kms_key.clone(),
            subnets: own.subnet.clone(),
            security_groups: own.security_group.clone(),
        };
        let ledger = Ledger::new(access.store(&self.ledger)?);
        let prices = price_table(self.prices.as_deref())?;
        let (deployer, model) = plan.open(&access.aws, ledger, prices).await?;
        if self.print_request {
            for request in deployer.requests(&self.name, &model) {
                println!("{}", to_json(&request)?);
            }
            return Ok(());
        }
        stands_in_the_way(&deployer.check(&model).await?)?;
        if !self.json {
            let price = match deployer.usd_per_hour() {
                Some(usd) => format!("{usd:.2} US dollars an hour"),
                None => "by the hour, at a price that is not known,".into(),
            };
            let when =
                if own.keep_awake { "used or not" } else { "until it serves, and while it has a machine" };
            println!("bills {price} {when}, until it is deleted");
        }
        if !self.yes && (self.json || !ask("Deploy it?")?) {
            return Ok(());
        }
        let deployment = deployer.deploy(&self.name, &model).await?;
        let deployment = deployer.wait(&deployment.id).await?;
        if self.json {
            let event = serde_json::json!({
                "event": "deployed", "deployment": deployment, "images": deployer.output(),
            });
            println!("{}", to_json(&event)?);
        } else {
            println!("{} serves; its images appear below {}", deployment.id, deployer.output());
            println!("end it with: picchu clean {}", self.ledger.display());
        }
        Ok(())
    }
}
