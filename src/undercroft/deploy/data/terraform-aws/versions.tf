terraform {
  # Write-only arguments and ephemeral resources keep secrets out of the state.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.7"
    }
  }

  # Keep the state where your team does: copy backend.tf.example to backend.tf and fill it in.
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      application = var.name
      managed-by  = "terraform"
    }
  }
}
